//! Encryption on the real binary: nothing of the content or of a key lies in any file, whatever way
//! it came in; ranges are right; master keys change while it serves.

mod canary;
mod master_keys;
mod ranges;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::client::Call;
use crate::support::digest::md5_base64;

/// How an object is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sse {
    /// Not at all.
    None,
    /// By the store's keys.
    Server,
    /// By a customer's key of this byte.
    Customer(u8),
}

/// The customer's key of this byte.
pub(crate) fn customer_key(byte: u8) -> [u8; 32] {
    let mut key = [byte; 32];
    key[..6].copy_from_slice(b"secret");
    key
}

impl Sse {
    /// `call` with the headers of a write, or of beginning an upload.
    pub(crate) fn on_write(self, call: Call) -> Call {
        match self {
            Self::Server => call.header("x-amz-server-side-encryption", "AES256"),
            _ => self.on_read(call),
        }
    }

    /// `call` with the headers of a read, or of a part.
    pub(crate) fn on_read(self, call: Call) -> Call {
        self.with_key(call, "x-amz-server-side-encryption-customer-")
    }

    /// `call` with the headers of a copy's source.
    pub(crate) fn on_source(self, call: Call) -> Call {
        self.with_key(call, "x-amz-copy-source-server-side-encryption-customer-")
    }

    fn with_key(self, call: Call, prefix: &str) -> Call {
        let Self::Customer(byte) = self else {
            return call;
        };
        let key = customer_key(byte);
        call.header(&format!("{prefix}algorithm"), "AES256")
            .header(&format!("{prefix}key"), &STANDARD.encode(key))
            .header(&format!("{prefix}key-md5"), &md5_base64(&key))
    }

    /// The header by which an answer says so, with its value.
    pub(crate) fn shown(self) -> Option<(&'static str, String)> {
        match self {
            Self::None => None,
            Self::Server => Some(("x-amz-server-side-encryption", "AES256".to_owned())),
            Self::Customer(byte) => Some((
                "x-amz-server-side-encryption-customer-key-md5",
                md5_base64(&customer_key(byte)),
            )),
        }
    }
}
