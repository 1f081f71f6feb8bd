"""A visitor's HTTP client: every request is offered to the engine before it is sent.

As strict as the engine: TLS is verified, redirects are not followed unless the scenario says so,
only 200 to 299 is a success, and a body is bounded in time and size.
"""

import ssl
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import brotli
import gevent
from geventhttpclient import client as http_client
from geventhttpclient.client import HTTPClientPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse
from locust.contrib.fasthttp import FastHttpSession, FastResponse, LocustBadStatusCode

from harness.redact import redact

MOST_BYTES = 16 << 20
"""Of a body, as it comes and once it is decoded; the same as the engine's."""

MOST_HEAD = 400 << 10
"""Bytes of a response before its body, interim responses included; the same as the engine's."""

STEP = "harness_step"
"""Where the context of Locust's request event holds the visit and the number of its request."""

_PIECE = 1 << 16
_FINAL = 200
_BOM = b"\xef\xbb\xbf"
_SUCCESS = range(200, 300)


class BodyTooLarge(HTTPParseError):  # type: ignore[misc]  # noqa: N818 - one of its family
    """A body beyond MOST_BYTES."""


class _Bounded(HTTPSocketPoolResponse):  # type: ignore[misc]
    """A response that ends with an error once too much has come, whatever it is.

    A server that sends without a pause keeps the reader from every timeout: gevent looks at the
    clock only when there is nothing to read.
    """

    taken = 0

    def feed(self, data: bytes) -> None:
        self.taken += len(data)
        if self.taken > MOST_HEAD and (not self.headers_complete or self.get_code() < _FINAL):
            raise HTTPParseError(f"the head has more than {MOST_HEAD} bytes")
        if self.taken > 2 * MOST_BYTES:  # chunks of few bytes are mostly their frames
            raise BodyTooLarge(f"the response has more than {2 * MOST_BYTES} bytes")
        super().feed(data)


http_client.HTTPSocketPoolResponse = _Bounded


class _Once(HTTPClientPool):  # type: ignore[misc]
    """Clients that send a request once; geventhttpclient's own send it up to twelve times."""

    def get_client(self, url: object) -> object:
        client = super().get_client(url)
        client._connection_pool.size = -1  # noqa: SLF001 - one less than the retries it allows
        return client


class Response(FastResponse):  # type: ignore[misc]
    """A response whose body is bounded, decoded and without a byte order mark."""

    def _content(self) -> bytes | None:
        if self.headers is None:
            return None
        body = bytearray()
        while piece := self._response.read(_PIECE):
            body += piece
            if len(body) > MOST_BYTES:
                self.release()
                raise BodyTooLarge(f"the body has more than {MOST_BYTES} bytes")
        self.release()
        return decode(bytes(body), self.headers.get("content-encoding") or "").removeprefix(_BOM)

    def iter_content(self, *words: object, **options: object) -> Iterator[object]:
        """As Locust's, of a body that has been asked for with `stream=True`; bounded as well."""
        size = 0
        for piece in super().iter_content(*words, **options):
            size += len(piece)
            if size > MOST_BYTES:
                self.release()
                raise BodyTooLarge(f"the body has more than {MOST_BYTES} bytes")
            yield piece


def decode(body: bytes, coding: str) -> bytes:
    """The body without its coding (RFC 9110, 8.4.1); one that is not known is left as it is.

    Raises BodyTooLarge, and zlib.error where it is cut or damaged.
    """
    coding = str(coding).strip().lower()
    if not body:
        return body
    if coding in {"gzip", "x-gzip"}:
        return _inflate(body, 16 + zlib.MAX_WBITS)
    if coding == "deflate":  # many servers leave out the zlib header that the RFC asks for
        headed = body[0] & 0x0F == 8  # noqa: PLR2004 - RFC 1950: the method
        return _inflate(body, zlib.MAX_WBITS if headed else -zlib.MAX_WBITS)
    if coding == "br":
        return _unbrotli(body)
    return body


def _inflate(body: bytes, window: int) -> bytes:
    found = bytearray()
    while body:
        reader = zlib.decompressobj(window)
        found += reader.decompress(body, MOST_BYTES + 1 - len(found))
        _check(len(found))
        if not reader.eof:
            raise zlib.error("the compressed body is cut")
        body = reader.unused_data
    return bytes(found)


def _unbrotli(body: bytes) -> bytes:
    reader = brotli.Decompressor()
    try:
        found = reader.process(body, output_buffer_limit=MOST_BYTES + 1)
    except brotli.error as error:
        raise zlib.error(str(error)) from None
    _check(len(found))
    if not reader.is_finished():
        raise zlib.error("the compressed body is cut")
    return bytes(found)


def _check(size: int) -> None:
    if size > MOST_BYTES:
        raise BodyTooLarge(f"the decoded body has more than {MOST_BYTES} bytes")


class Session(FastHttpSession):  # type: ignore[misc]
    """The client of one visitor, with cookies and connections of its own."""

    def __init__(self, user: Any) -> None:
        visit = user.harness_visit
        insecure = user.insecure or (visit is not None and not visit.way.verify)
        more: dict[str, object] = {}
        if visit is not None and visit.way.server_name:
            more["ssl_options"] = {"server_hostname": visit.way.server_name}
        super().__init__(
            base_url=user.host,
            request_event=user.environment.events.request,
            user=user,
            insecure=insecure,
            network_timeout=user.network_timeout,
            connection_timeout=user.connection_timeout,
            max_redirects=user.max_redirects,
            max_retries=user.max_retries,
            concurrency=user.concurrency,
            client_pool=user.client_pool,
            ssl_context_factory=user.ssl_context_factory or (visit and visit.way.tls(insecure)),
            headers=user.default_headers,
            proxy_host=user.proxy_host,
            proxy_port=user.proxy_port,
            **more,
        )
        self.client.response_type = Response
        if user.client_pool is None:
            self.client.clientpool = _Once(**self.client.clientpool.client_args)

    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        *,
        allow_redirects: bool = False,
        headers: Mapping[str, str] | None = None,
        context: Mapping[str, object] | None = None,
        **options: object,
    ) -> Any:
        """As Locust's, but redirects are followed only with `allow_redirects`.

        The whole exchange may take `network_timeout` of the user class.
        """
        if not url.startswith("/") and "://" not in url:
            raise ValueError(f"{url!r} begins neither with a slash nor with http://")
        visit = self.user.harness_visit
        label = name or self.request_name or url
        if self.user.values:  # what a set-up hook gave is a secret
            label = redact(label)
        found = dict(headers or {})
        if visit.way.host and "://" not in url:
            found.setdefault("Host", visit.way.host)
        step = visit.begin(label)
        try:
            with gevent.Timeout(self.user.network_timeout):
                return super().request(
                    method,
                    url,
                    label,
                    headers=found,
                    context={**(context or {}), STEP: (visit, step)},
                    max_redirects=self.user.max_redirects if allow_redirects else 0,
                    **options,
                )
        except BaseException as error:
            visit.broke(step, error)
            raise
        finally:
            visit.rest(step)

    def _send_request_safe_mode(self, method: str, url: str, **options: object) -> object:
        response = super()._send_request_safe_mode(method, url, **options)
        status = response.status_code
        if status and status not in _SUCCESS and getattr(response, "error", None) is None:
            response.error = LocustBadStatusCode(url, code=status)
        return response


def tls_context(ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
    """What every visitor's connections are made with; it is read once, not for each of them."""
    context = gevent.ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context  # type: ignore[no-any-return]
