//! The master keys: from the environment, and in a file that only we can read.
//!
//! The file is made at the first start, newest key first, and is written whole or not at all. A new
//! key is durable in it before anything is wrapped by it; a key is taken out of it only after the
//! metadata has made sure that nothing is wrapped by it, and never will be. A start that finds no
//! file where there are data keys to open does not make a new one: it says what is missing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use async_trait::async_trait;
use holdfast_gateway::admin::{KeeperError, MasterKeyKeeper};
use holdfast_metadata::Metadata;
use holdfast_metadata::model::MasterKeyUse;
use holdfast_sealing::{Keyring, MasterKey, MasterKeyId};
use holdfast_types::Clock;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// The variable that gives master keys, newest first, with commas between them.
const VARIABLE: &str = "HOLDFAST_MASTER_KEYS";

/// What the file begins with, so that nobody takes it for something to be tidied away.
const HEADER: &str = "# The master keys of this Holdfast, newest first: id, key, time. Whoever has one \
                      can read what it encrypts;\n# without it nobody can. Back this file up, away \
                      from the drives.\n";

/// The keys, where they are kept, and who knows what they wrap.
pub(crate) struct MasterKeys {
    keyring: Keyring,
    file: PathBuf,
    from_environment: BTreeSet<MasterKeyId>,
    metadata: Metadata,
    clock: Arc<dyn Clock>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl MasterKeys {
    /// The keys of this start: the environment's, then the file's; a new one where there is none.
    pub(crate) async fn find_or_make(
        file: PathBuf,
        metadata: &Metadata,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let variable = std::env::var(VARIABLE).ok().map(Zeroizing::new);
        let given = from_variable(variable.as_ref().map_or("", |text| text))?;
        let from_environment = given.iter().map(|key| key.id().clone()).collect();
        let mut keys = given;
        keys.extend(read(&file)?);
        let known = metadata.master_keys().await?;
        if keys.is_empty() {
            refuse_lost_keys(&file, &known)?;
            keys.push(MasterKey::random(clock.now_ms()));
            write(&file, &keys)
                .with_context(|| format!("can't write a master key to {}", file.display()))?;
            tracing::info!(
                "made a master key for encryption in {}: back it up, without it what is encrypted \
                 is lost",
                file.display()
            );
        }
        let keyring = Keyring::new(keys).context("the master keys")?;
        check_newest(&keyring, &known)?;
        warn_of_missing(&keyring, &known);
        let keys = keyring.keys();
        let ids = keys.iter().map(|key| key.id().to_string()).collect();
        metadata.admit_master_keys(ids).await?;
        Ok(Self {
            keyring,
            file,
            from_environment,
            metadata: metadata.clone(),
            clock: Arc::clone(clock),
            changing: Mutex::new(()),
        })
    }

    /// The ring that everything in this process uses.
    pub(crate) fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// Changes the file in a thread of its own.
    async fn change_file(
        &self,
        change: impl FnOnce(Vec<MasterKey>) -> Vec<MasterKey> + Send + 'static,
    ) -> Result<(), KeeperError> {
        let file = self.file.clone();
        let changed = tokio::task::spawn_blocking(move || {
            let keys = change(read(&file)?);
            write(&file, &keys).with_context(|| format!("can't write {}", file.display()))
        });
        let changed = changed.await.map_err(|error| failed(&error))?;
        changed.map_err(|error| KeeperError::Failed(format!("{error:#}")))
    }
}

#[async_trait]
impl MasterKeyKeeper for MasterKeys {
    fn keys(&self) -> Vec<Arc<MasterKey>> {
        self.keyring.keys()
    }

    async fn rotate(&self) -> Result<MasterKeyId, KeeperError> {
        let _one_at_a_time = self.changing.lock().await;
        if !self.from_environment.is_empty() {
            return Err(KeeperError::Refused(format!(
                "the newest master key is given by {VARIABLE}: put a new one in front of the others \
                 there, and start again"
            )));
        }
        let key = MasterKey::random(self.clock.now_ms());
        let id = key.id().clone();
        // What the file holds and what wraps are the same key: it is read back.
        let line = key.line();
        self.change_file(move |mut keys| {
            keys.insert(0, key);
            keys
        })
        .await?;
        self.metadata
            .admit_master_keys(vec![id.to_string()])
            .await
            .map_err(|error| failed(&error))?;
        self.keyring
            .add(MasterKey::from_line(&line).map_err(|error| failed(&error))?);
        tracing::info!(%id, "a new master key wraps from now on: back up its file");
        Ok(id)
    }

    async fn retire(&self, id: &MasterKeyId) -> Result<(), KeeperError> {
        let _one_at_a_time = self.changing.lock().await;
        if self.keyring.newest().id() == id {
            return Err(KeeperError::Refused(format!(
                "{id} is the newest master key: make another first (rotate)"
            )));
        }
        if self.from_environment.contains(id) {
            return Err(KeeperError::Refused(format!(
                "{id} is given by {VARIABLE}: take it out there, start again, and then retire it"
            )));
        }
        match self.metadata.retire_master_key(id.as_str()).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(KeeperError::Refused(format!(
                    "{id} still wraps keys: the worker `rewrap` is putting them under the newest"
                )));
            }
            Err(holdfast_metadata::MetadataError::NotFound(_)) => {
                return Err(KeeperError::NoSuchKey(id.clone()));
            }
            Err(error) => return Err(failed(&error)),
        }
        let gone = id.clone();
        self.change_file(move |mut keys| {
            keys.retain(|key| *key.id() != gone);
            keys
        })
        .await?;
        self.keyring.remove(id);
        tracing::info!(%id, "a master key was retired");
        Ok(())
    }
}

fn failed(error: &dyn std::fmt::Display) -> KeeperError {
    KeeperError::Failed(error.to_string())
}

/// The keys that are there, for those who only read what is encrypted: nothing is made.
pub(crate) fn keys_to_read(file: &Path) -> anyhow::Result<Keyring> {
    let variable = std::env::var(VARIABLE).ok().map(Zeroizing::new);
    let mut keys = from_variable(variable.as_ref().map_or("", |text| text))?;
    keys.extend(read(file)?);
    if keys.is_empty() {
        bail!(
            "it is encrypted, and there is no master key: bring {} back, or set {VARIABLE}",
            file.display()
        );
    }
    Keyring::new(keys).context("the master keys")
}

fn from_variable(text: &str) -> anyhow::Result<Vec<MasterKey>> {
    let words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words
        .map(|word| MasterKey::parse(word, 0).with_context(|| format!("a key in {VARIABLE}")))
        .collect()
}

/// The keys in the file; none where there is no file.
fn read(file: &Path) -> anyhow::Result<Vec<MasterKey>> {
    let text = match fs::read_to_string(file).map(Zeroizing::new) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("can't read {}", file.display()));
        }
    };
    let mode = fs::metadata(file)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            "{} holds the master keys and others can read it: chmod 600 it",
            file.display()
        );
    }
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<MasterKey> = lines
        .map(|(number, line)| {
            MasterKey::from_line(line)
                .with_context(|| format!("{}, line {}", file.display(), number + 1))
        })
        .collect::<Result<_, _>>()?;
    if keys.is_empty() {
        bail!(
            "{} holds no master key: bring it back from its backup, or remove it if nothing was \
             ever encrypted",
            file.display()
        );
    }
    Ok(keys)
}

/// Written whole or not at all, durable when it is done, and never readable by others.
fn write(file: &Path, keys: &[MasterKey]) -> io::Result<()> {
    let mut text = Zeroizing::new(HEADER.to_owned());
    for key in keys {
        text.push_str(&key.line());
        text.push('\n');
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let staged = file.with_extension("new");
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&staged)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(&staged, file)?;
    fs::File::open(folder)?.sync_all()
}

/// Does not go on without keys that there must be: a new one would open nothing.
fn refuse_lost_keys(file: &Path, known: &[MasterKeyUse]) -> anyhow::Result<()> {
    let lost: Vec<&str> = known
        .iter()
        .filter(|known| known.blobs > 0)
        .map(|known| known.key.as_str())
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    bail!(
        "{} is gone, and there are objects that only its master keys ({}) can decrypt: bring it \
         back from its backup. If it is lost for ever, so are they; to start without them give a \
         new key by {VARIABLE}",
        file.display(),
        lost.join(", ")
    )
}

fn check_newest(keyring: &Keyring, known: &[MasterKeyUse]) -> anyhow::Result<()> {
    let newest = keyring.newest();
    let is_newest = |known: &&MasterKeyUse| known.key == newest.id().as_str();
    match known.iter().find(is_newest) {
        Some(known) if known.retired => bail!(
            "master key {} was retired, so nothing can be encrypted by it: put a new one in front \
             of it",
            newest.id()
        ),
        _ => Ok(()),
    }
}

fn warn_of_missing(keyring: &Keyring, known: &[MasterKeyUse]) {
    let here = keyring.keys();
    for known in known.iter().filter(|known| known.blobs > 0) {
        if here.iter().all(|key| key.id().as_str() != known.key) {
            tracing::error!(
                id = known.key,
                blobs = known.blobs,
                "a master key is missing: what it encrypts can't be read until it is brought back"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_file_and_only_we_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master-keys");
        assert!(read(&file).unwrap().is_empty());
        let keys = vec![MasterKey::random(2), MasterKey::random(1)];
        write(&file, &keys).unwrap();
        write(&file, &keys).unwrap();
        let again = read(&file).unwrap();
        let ids = |keys: &[MasterKey]| -> Vec<String> {
            keys.iter().map(|key| key.id().to_string()).collect()
        };
        assert_eq!(ids(&again), ids(&keys));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_stops_the_start_and_shows_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master-keys");
        let key = MasterKey::random(1);
        let line = key.line().to_string();
        let secret = line.split(' ').nth(1).unwrap();
        for text in [
            String::new(),
            format!("{line} x\n"),
            line.replace(secret, "AAAA"),
        ] {
            fs::write(&file, text).unwrap();
            let error = format!("{:#}", read(&file).unwrap_err());
            assert!(
                !error.contains(secret) && error.contains("master-keys"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_environment_gives_several_keys_or_says_what_is_wrong() {
        let (a, b) = (MasterKey::random(0), MasterKey::random(0));
        let text = |key: &MasterKey| key.line().split(' ').nth(1).unwrap().to_owned();
        let keys = from_variable(&format!("{}, {}", text(&a), text(&b))).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!((keys[0].id(), keys[1].id()), (a.id(), b.id()));
        assert!(from_variable("").unwrap().is_empty());
        let error = format!("{:#}", from_variable("hush").unwrap_err());
        assert!(
            error.contains(VARIABLE) && !error.contains("hush"),
            "{error}"
        );
    }

    #[test]
    fn lost_keys_are_not_replaced_in_silence() {
        let used = |key: &str, blobs, retired| MasterKeyUse {
            key: key.to_owned(),
            retired,
            blobs,
        };
        let file = Path::new("master-keys");
        assert!(refuse_lost_keys(file, &[used("a", 0, false), used("b", 0, true)]).is_ok());
        let error = refuse_lost_keys(file, &[used("a", 3, false)]).unwrap_err();
        assert!(error.to_string().contains("backup"), "{error}");
        let ring = Keyring::new([MasterKey::random(0)]).unwrap();
        let newest = ring.newest().id().to_string();
        assert!(check_newest(&ring, &[used(&newest, 0, false)]).is_ok());
        assert!(check_newest(&ring, &[used(&newest, 0, true)]).is_err());
    }
}
