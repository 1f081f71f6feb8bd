//! What TLS connections are made with: whom they trust, and who we say we are.

use crate::error::PlanError;
use crate::plan::Plan;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// What https targets need; `None` without any.
pub fn connector(plan: &Plan) -> Result<Option<TlsConnector>, PlanError> {
    if !plan.targets.iter().any(|target| target.tls) {
        return Ok(None);
    }
    if let Some(name) = &plan.tls.server_name {
        ServerName::try_from(name.as_str()).map_err(|_| {
            PlanError::at("tls.server_name", format!("{name:?} is not a host name or an address"))
        })?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| PlanError::at("tls", error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier(plan, provider)?);
    let mut config = match identity(plan)? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| PlanError::at("tls.key_file", format!("{error}; give its key")))?,
    };
    config.alpn_protocols = vec![if plan.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

fn verifier(
    plan: &Plan,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, PlanError> {
    if !plan.tls.verify {
        return Ok(Arc::new(Trusting(provider.signature_verification_algorithms)));
    }
    let mut roots = RootCertStore::empty();
    let trusted = match &plan.tls.ca_file {
        Some(path) => named(path, &mut roots)?,
        None => {
            let found = rustls_native_certs::load_native_certs().certs;
            roots.add_parsable_certificates(found.iter().cloned());
            found
        }
    };
    if roots.is_empty() {
        return Err(PlanError::at(
            "tls.ca_file",
            "this system has no certificates; name a CA file, or set verify to false",
        ));
    }
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| PlanError::at("tls.ca_file", error))?;
    Ok(Arc::new(Known { usual, trusted }))
}

/// The certificates of a CA file, which are added to the roots.
fn named(path: &str, roots: &mut RootCertStore) -> Result<Vec<CertificateDer<'static>>, PlanError> {
    let pem = read("tls.ca_file", path)?;
    let bad = |problem: String| {
        PlanError::at(
            "tls.ca_file",
            format!("{path}: {problem}; give a PEM file of CA certificates"),
        )
    };
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate.clone()).map_err(|error| bad(error.to_string()))?;
        found.push(certificate);
    }
    if found.is_empty() { Err(bad("holds no certificate".into())) } else { Ok(found) }
}

fn read(field: &str, path: &str) -> Result<Vec<u8>, PlanError> {
    std::fs::read(path)
        .map_err(|error| PlanError::Io(error, format!("plan field {field}: cannot read {path}")))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The certificate that we show, with its chain, and its key.
fn identity(plan: &Plan) -> Result<Option<Identity>, PlanError> {
    let Some(certificate) = &plan.tls.cert_file else { return Ok(None) };
    let key = plan.tls.key_file.as_ref().unwrap_or(certificate);
    let chain = CertificateDer::pem_slice_iter(&read("tls.cert_file", certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| {
            let problem = format!("{certificate}: holds no certificate; give a PEM file");
            PlanError::at("tls.cert_file", problem)
        })?;
    let found = PrivateKeyDer::from_pem_slice(&read("tls.key_file", key)?).map_err(|_| {
        let problem = format!("{key}: holds no private key; give a PEM file without a passphrase");
        PlanError::at("tls.key_file", problem)
    })?;
    Ok(Some((chain, found)))
}

/// Accepts what rustls accepts, and a server's certificate that is itself among the trusted ones.
///
/// A self-signed certificate is mostly marked as an authority's, and rustls refuses any such for a
/// server; curl and browsers take it where it is trusted by itself. Names and times still count.
#[derive(Debug)]
struct Known {
    usual: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = self.usual.verify_server_cert(certificate, chain, name, ocsp, now);
        // Times are looked at first, and have errors of their own.
        let unfit =
            matches!(found, Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))));
        if !unfit || !self.trusted.iter().any(|each| each.as_ref() == certificate.as_ref()) {
            return found;
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Accepts any certificate, because the plan says so; signatures are still checked.
#[derive(Debug)]
struct Trusting(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
