//! Why a request failed: a closed list.

use std::io;

macro_rules! kinds {
    ($($variant:ident => $text:literal),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($variant),* }

        impl ErrorKind {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

kinds! {
    Refused => "refused",
    ConnectTimeout => "connect_timeout",
    Resolve => "resolve",
    Unreachable => "unreachable",
    Reset => "reset",
    Eof => "eof",
    Timeout => "timeout",
    Status3xx => "status_3xx",
    Status4xx => "status_4xx",
    Status5xx => "status_5xx",
    Throttled => "throttled",
    Check => "check",
    Capture => "capture",
    Tls => "tls",
    Proxy => "proxy",
    Protocol => "protocol",
    BodyTooLarge => "body_too_large",
    BrokenStream => "broken_stream",
    NotAStream => "not_a_stream",
    InFlightLimit => "in_flight_limit",
    Journey => "journey",
    Local => "local",
}

impl ErrorKind {
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The class of a status that is not wanted; classes 1xx and 2xx have none. Too many requests
    /// (429) is an answer of its own: the service is well and limits its clients.
    pub fn of_status(status: u16) -> Option<Self> {
        match status / 100 {
            4 if status == 429 => Some(Self::Throttled),
            3 => Some(Self::Status3xx),
            4 => Some(Self::Status4xx),
            5.. => Some(Self::Status5xx),
            _ => None,
        }
    }

    /// What an error of the operating system means while connecting.
    pub fn of_connect(error: &io::Error) -> Self {
        if let Some(
            libc::EMFILE
            | libc::ENFILE
            | libc::ENOBUFS
            | libc::ENOMEM
            | libc::EADDRNOTAVAIL
            | libc::EADDRINUSE,
        ) = error.raw_os_error()
        {
            return Self::Local;
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Self::Reset,
            io::ErrorKind::TimedOut => Self::ConnectTimeout,
            _ => Self::Unreachable,
        }
    }

    /// What an error of an open stream means.
    pub fn of_stream(error: &io::Error) -> Self {
        if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            return Self::Tls;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Eof,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                Self::Protocol
            }
            _ => Self::Reset,
        }
    }
}
