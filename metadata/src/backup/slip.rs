//! A slip: what it takes to read a backup that lies in a bucket when the metadata is lost.
//!
//! The fragments of such a backup are on the drives like those of any object, and say which blob
//! they are of; what is missing is which blobs the backup is, in which order, and the wrapped keys
//! of those that are encrypted. That is on every drive, in a file of its own. Where the fragments
//! are is not in it: they move, and the drives know.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use holdfast_types::{BlobId, ClusterId, DriveId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::image::checksum;
use crate::journal::Shelf;

const MAGIC: &str = "holdfast-backup";
const VERSION: u32 = 1;
/// Longer ones are not read: some 350 bytes for each of 10,000 parts, several times over.
const MAX_LEN: u64 = 16 << 20;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slip {
    /// Whose backup it is.
    pub cluster: ClusterId,
    /// The backup.
    pub backup: Uuid,
    /// When it was begun, in milliseconds since 1970.
    pub taken_ms: u64,
    /// Until when it pins what it knows.
    pub expires_ms: u64,
    /// The bucket that it was put into.
    pub bucket: String,
    /// Its key there.
    pub key: String,
    /// Its length: that of all pieces.
    pub bytes: u64,
    /// Its bytes, in order.
    pub pieces: Vec<SlipPiece>,
}

/// The content of one blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlipPiece {
    /// The blob.
    pub blob: BlobId,
    /// Bytes of content.
    pub len: u64,
    /// How it is encrypted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<SlipSeal>,
}

/// A data key, wrapped by a master key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlipSeal {
    /// The master key's name.
    pub master_key: String,
    /// The wrapped key, in hexadecimal.
    pub wrapped_key: String,
}

/// What drives say of backups.
#[derive(Debug, Default)]
pub struct Slips {
    /// The slips that can be read, one a backup, newest first.
    pub found: Vec<Slip>,
    /// What could not be read, and why.
    pub bad: Vec<String>,
}

impl Slip {
    /// Its bytes.
    fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).expect("a slip is plain data");
        let body = format!("{MAGIC}\nversion {VERSION}\n{json}\n");
        let sum = checksum(&[body.as_bytes()]);
        format!("{body}checksum {sum:016x}\n").into_bytes()
    }

    /// What `bytes` say; else what is wrong with them.
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let (body, sum) = text.rsplit_once("checksum ").ok_or("it has no checksum")?;
        if sum != format!("{:016x}\n", checksum(&[body.as_bytes()])) {
            return Err("its checksum does not match".to_owned());
        }
        let mut lines = body.lines();
        if lines.next() != Some(MAGIC) {
            return Err(format!("it does not begin with `{MAGIC}`"));
        }
        let version = lines.next().and_then(|line| line.strip_prefix("version "));
        if version != Some(VERSION.to_string().as_str()) {
            return Err(format!(
                "it has format version {}, and this program reads up to {VERSION}",
                version.unwrap_or("-")
            ));
        }
        let slip: Self = lines
            .next()
            .and_then(|json| serde_json::from_str(json).ok())
            .ok_or("what it says can't be read")?;
        let sum: Option<u64> = slip
            .pieces
            .iter()
            .try_fold(0u64, |sum, piece| sum.checked_add(piece.len));
        if sum != Some(slip.bytes) {
            return Err("its pieces are not as long as the backup".to_owned());
        }
        Ok(slip)
    }

    /// Puts it on all drives that take it and do not have it. Gives how many have it, and why the
    /// others don't.
    ///
    /// Blocks on the disks.
    #[must_use]
    pub fn post(&self, shelves: &[Arc<dyn Shelf>]) -> (usize, Vec<String>) {
        let (bytes, name) = (self.encode(), name_of(self.backup));
        let mut failed = Vec::new();
        for shelf in shelves {
            if let Err(error) = post(&**shelf, &name, &bytes) {
                failed.push(format!("drive {}: {error}", shelf.drive()));
            }
        }
        (shelves.len() - failed.len(), failed)
    }
}

impl Slips {
    /// Reads all slips of all drives. Any good copy of one serves.
    ///
    /// Blocks on the disks.
    #[must_use]
    pub fn read(shelves: &[Arc<dyn Shelf>]) -> Self {
        let (mut found, mut bad) = (BTreeMap::new(), Vec::new());
        for shelf in shelves {
            let names = match shelf.list() {
                Ok(names) => names,
                Err(error) => {
                    bad.push(format!("drive {}: {error}", shelf.drive()));
                    continue;
                }
            };
            for name in names {
                let Some(id) = id_of(&name) else { continue };
                if found.contains_key(&id) {
                    continue;
                }
                match read(&**shelf, &name) {
                    Ok(slip) if slip.backup == id => {
                        found.insert(id, slip);
                    }
                    Ok(_) => bad.push(is_bad(shelf.drive(), &name, "it is of another backup")),
                    Err(why) => bad.push(is_bad(shelf.drive(), &name, &why)),
                }
            }
        }
        let mut found: Vec<Slip> = found.into_values().collect();
        found.sort_by_key(|slip| (std::cmp::Reverse(slip.taken_ms), slip.backup));
        Self { found, bad }
    }

    /// Takes a backup's slip from all drives that can be reached: one that stays says nothing false.
    ///
    /// Blocks on the disks.
    pub fn remove(shelves: &[Arc<dyn Shelf>], backup: Uuid) {
        let name = name_of(backup);
        for shelf in shelves {
            if let Err(error) = shelf.remove(&name) {
                tracing::debug!(drive = %shelf.drive(), %backup, "a backup's slip stays: {error}");
            }
        }
    }
}

fn is_bad(drive: DriveId, name: &str, why: &str) -> String {
    format!("drive {drive}: {name}: {why}")
}

fn name_of(backup: Uuid) -> String {
    format!("backup-{}", backup.simple())
}

fn id_of(name: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(name.strip_prefix("backup-")?).ok()?;
    (name == name_of(id)).then_some(id)
}

fn post(shelf: &dyn Shelf, name: &str, bytes: &[u8]) -> io::Result<()> {
    if shelf.list()?.iter().any(|there| there == name) {
        return Ok(());
    }
    let mut file = shelf.create()?;
    file.append(bytes)?;
    file.publish(name)
}

fn read(shelf: &dyn Shelf, name: &str) -> Result<Slip, String> {
    let words = |error: io::Error| error.to_string();
    let file = shelf.open(name).map_err(words)?;
    let len = file.len_bytes().map_err(words)?;
    if len > MAX_LEN {
        return Err("it is too long".to_owned());
    }
    let mut bytes = vec![0; len as usize];
    let mut at = 0;
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64).map_err(words)? {
            0 => return Err("it is cut short".to_owned()),
            read => at += read,
        }
    }
    Slip::decode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slip() -> Slip {
        Slip {
            cluster: ClusterId::from_bytes([0xAB; 16]),
            backup: Uuid::from_bytes([7; 16]),
            taken_ms: 1,
            expires_ms: 2,
            bucket: "b".to_owned(),
            key: "a checksum \n".to_owned(),
            bytes: 30,
            pieces: vec![
                SlipPiece {
                    blob: BlobId::from_bytes([1; 16]),
                    len: 20,
                    seal: None,
                },
                SlipPiece {
                    blob: BlobId::from_bytes([2; 16]),
                    len: 10,
                    seal: Some(SlipSeal {
                        master_key: "0123".to_owned(),
                        wrapped_key: "00ff".to_owned(),
                    }),
                },
            ],
        }
    }

    #[test]
    fn a_slip_reads_back_and_each_damaged_byte_is_noticed() {
        let bytes = slip().encode();
        assert_eq!(Slip::decode(&bytes), Ok(slip()));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Slip::decode(&damaged).is_err(), "byte {at}");
            assert!(Slip::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    /// What version 1 writes must stay what it is.
    #[test]
    fn version_1_is_frozen() {
        let body = "holdfast-backup\nversion 1\n\
            {\"cluster\":\"abababab-abab-abab-abab-abababababab\",\
            \"backup\":\"07070707-0707-0707-0707-070707070707\",\"taken_ms\":1,\"expires_ms\":2,\
            \"bucket\":\"b\",\"key\":\"a checksum \\n\",\"bytes\":30,\"pieces\":[\
            {\"blob\":\"01010101-0101-0101-0101-010101010101\",\"len\":20},\
            {\"blob\":\"02020202-0202-0202-0202-020202020202\",\"len\":10,\
            \"seal\":{\"master_key\":\"0123\",\"wrapped_key\":\"00ff\"}}]}\n";
        let sum = checksum(&[body.as_bytes()]);
        let text = format!("{body}checksum {sum:016x}\n");
        assert_eq!(String::from_utf8(slip().encode()).unwrap(), text);
    }

    #[test]
    fn pieces_that_are_not_the_backup_are_refused() {
        let short = Slip {
            bytes: 31,
            ..slip()
        };
        assert!(Slip::decode(&short.encode()).is_err());
        let mut over = slip();
        over.pieces[0].len = u64::MAX;
        assert!(Slip::decode(&over.encode()).is_err());
    }

    #[test]
    fn only_our_own_names_are_slips() {
        let id = Uuid::from_bytes([7; 16]);
        assert_eq!(id_of(&name_of(id)), Some(id));
        for name in ["", "backup-", "backup-x", "x", &name_of(id).to_uppercase()] {
            assert_eq!(id_of(name), None, "{name}");
        }
    }
}
