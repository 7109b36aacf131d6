//! The root key: from the environment, or made once and kept in a file that only we can read.
//!
//! There is one root key at a time. The environment wins; a changed secret or another access key
//! there takes effect at the next start, and the former root key stops working. The file is
//! written before the metadata is told, so that a crash in between leaves a key that the next start
//! finds and records; the row in the metadata is what requests are checked against.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use holdfast_gateway::admin::{KeyPair, ROOT_KEY_DESCRIPTION};
use holdfast_metadata::model::AccessKey;
use holdfast_metadata::{Metadata, MetadataError};

/// The variables that set it.
pub(crate) const ACCESS_KEY: &str = "HOLDFAST_ACCESS_KEY";
/// See [`ACCESS_KEY`].
pub(crate) const SECRET_KEY: &str = "HOLDFAST_SECRET_KEY";

/// Where the root key came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The environment.
    Environment,
    /// This file, which was there.
    Kept(PathBuf),
    /// This file, which was made now.
    Made(PathBuf),
}

/// The root key of this start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RootKey {
    pub(crate) pair: KeyPair,
    pub(crate) source: Source,
}

/// The key that the environment gives, if it gives one.
pub(crate) fn from_environment() -> anyhow::Result<Option<KeyPair>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    from_variables(variable(ACCESS_KEY), variable(SECRET_KEY))
}

fn from_variables(
    access_key: Option<String>,
    secret_key: Option<String>,
) -> anyhow::Result<Option<KeyPair>> {
    match (access_key, secret_key) {
        (None, None) => Ok(None),
        (Some(access_key), Some(secret_key)) => {
            let pair = KeyPair::import(access_key, secret_key)
                .with_context(|| format!("the root key in {ACCESS_KEY} and {SECRET_KEY}"))?;
            Ok(Some(pair))
        }
        (Some(_), None) => bail!("{ACCESS_KEY} is set and {SECRET_KEY} is not: set both or none"),
        (None, Some(_)) => bail!("{SECRET_KEY} is set and {ACCESS_KEY} is not: set both or none"),
    }
}

/// The root key of this start: the environment's, else the file's, else a new one in the file.
pub(crate) fn find_or_make(environment: Option<KeyPair>, file: &Path) -> anyhow::Result<RootKey> {
    if let Some(pair) = environment {
        let source = Source::Environment;
        return Ok(RootKey { pair, source });
    }
    if let Some(pair) = read(file)? {
        let source = Source::Kept(file.to_owned());
        return Ok(RootKey { pair, source });
    }
    let pair = KeyPair::generate();
    write(file, &pair)
        .with_context(|| format!("can't write the root key to {}", file.display()))?;
    let source = Source::Made(file.to_owned());
    Ok(RootKey { pair, source })
}

/// Makes the metadata know this root key and no other.
pub(crate) async fn record(
    metadata: &Metadata,
    root: &KeyPair,
    now_ms: u64,
) -> Result<(), MetadataError> {
    for key in metadata.keys().await? {
        let is_this = key.access_key == root.access_key;
        let is_same = is_this && key.secret_key == root.secret_key && !key.disabled;
        if is_same && key.description == ROOT_KEY_DESCRIPTION {
            continue;
        }
        if is_this || key.description == ROOT_KEY_DESCRIPTION {
            metadata.delete_key(&key.access_key).await?;
        }
    }
    if metadata.key(&root.access_key).await?.is_none() {
        metadata
            .create_key(AccessKey {
                access_key: root.access_key.clone(),
                secret_key: root.secret_key.clone(),
                description: ROOT_KEY_DESCRIPTION.to_owned(),
                created_ms: now_ms,
                disabled: false,
            })
            .await?;
    }
    Ok(())
}

/// Writes the file anew out of metadata that was restored, where it was lost too.
pub(crate) async fn restore(metadata: &Metadata, file: &Path) -> anyhow::Result<()> {
    if file.exists() {
        return Ok(());
    }
    let mut keys = metadata.keys().await?.into_iter();
    let Some(root) = keys.find(|key| key.description == ROOT_KEY_DESCRIPTION) else {
        return Ok(());
    };
    let pair = KeyPair::import(root.access_key, root.secret_key)
        .context("the root key in the restored metadata")?;
    write(file, &pair)
        .with_context(|| format!("can't write the root key to {}", file.display()))?;
    tracing::warn!(
        "{} was written anew with the root key that the metadata has",
        file.display()
    );
    Ok(())
}

/// The key in the file; `None` where there is no file.
pub(crate) fn read(file: &Path) -> anyhow::Result<Option<KeyPair>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("can't read {}", file.display()));
        }
    };
    let mode = fs::metadata(file)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            "{} holds the root key and others can read it: chmod 600 it",
            file.display()
        );
    }
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.trim().strip_prefix("export "))
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches('\'').to_owned())
            .with_context(|| format!("{} has no line `export {name}=...`", file.display()))
    };
    let pair = KeyPair::import(value(ACCESS_KEY)?, value(SECRET_KEY)?)
        .with_context(|| format!("the root key in {}", file.display()))?;
    Ok(Some(pair))
}

/// Written whole or not at all, and never readable by others, not even for a moment.
fn write(file: &Path, pair: &KeyPair) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let staged = file.with_extension("env.new");
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut output = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&staged)?;
    output.write_all(text(pair).as_bytes())?;
    output.sync_all()?;
    fs::rename(&staged, file)?;
    fs::File::open(folder)?.sync_all()
}

/// A file that a shell can source, for Holdfast's own command line and for S3 clients.
fn text(pair: &KeyPair) -> String {
    let KeyPair {
        access_key,
        secret_key,
    } = pair;
    format!(
        "# The root key of this Holdfast. Whoever has it has everything: keep it to yourself.\n\
         # Use it with `. THIS-FILE`. To use another, set both HOLDFAST_ variables for `serve`.\n\
         export {ACCESS_KEY}='{access_key}'\n\
         export {SECRET_KEY}='{secret_key}'\n\
         export AWS_ACCESS_KEY_ID=\"${ACCESS_KEY}\"\n\
         export AWS_SECRET_ACCESS_KEY=\"${SECRET_KEY}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(access_key: &str, secret_key: &str) -> KeyPair {
        KeyPair::import(access_key.to_owned(), secret_key.to_owned()).unwrap()
    }

    #[test]
    fn a_key_is_made_once_and_kept_for_us_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root-key.env");
        let made = find_or_make(None, &file).unwrap();
        assert_eq!(made.source, Source::Made(file.clone()));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let kept = find_or_make(None, &file).unwrap();
        assert_eq!(
            kept,
            RootKey {
                pair: made.pair,
                source: Source::Kept(file.clone())
            }
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing else is left"
        );
    }

    #[test]
    fn a_crash_before_the_rename_leaves_nothing_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root-key.env");
        fs::write(
            folder.path().join("root-key.env.new"),
            "export HOLDFAST_ACC",
        )
        .unwrap();
        let made = find_or_make(None, &file).unwrap();
        assert_eq!(read(&file).unwrap(), Some(made.pair));
    }

    #[test]
    fn the_environment_wins_and_writes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root-key.env");
        let given = pair("minioadmin", "minioadmin");
        let root = find_or_make(Some(given.clone()), &file).unwrap();
        assert_eq!(
            root,
            RootKey {
                pair: given,
                source: Source::Environment
            }
        );
        assert!(!file.exists());
    }

    #[test]
    fn half_a_key_is_refused() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(from_variables(None, None).unwrap(), None);
        let both = from_variables(some("minioadmin"), some("minioadmin")).unwrap();
        assert_eq!(both, Some(pair("minioadmin", "minioadmin")));
        let message = from_variables(some("minioadmin"), None)
            .unwrap_err()
            .to_string();
        assert!(message.contains("HOLDFAST_SECRET_KEY is not"), "{message}");
        assert!(from_variables(None, some("minioadmin")).is_err());
        let error = from_variables(some("minioadmin"), some("minio admin")).unwrap_err();
        assert!(
            !format!("{error:#}").contains("minio admin"),
            "a secret is not repeated"
        );
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root-key.env");
        fs::write(&file, "export HOLDFAST_ACCESS_KEY='HFABC'\n").unwrap();
        let message = find_or_make(None, &file).unwrap_err().to_string();
        assert!(
            message.contains("no line `export HOLDFAST_SECRET_KEY=...`"),
            "{message}"
        );
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "export HOLDFAST_ACCESS_KEY='HFABC'\n"
        );
    }

    #[test]
    fn a_shell_reads_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root-key.env");
        let key = pair(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7$(MDENG)`b`PxRfi!&;#EXAMPLEKEY",
        );
        write(&file, &key).unwrap();
        assert_eq!(read(&file).unwrap(), Some(key.clone()));
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(". \"$0\"; printf '%s %s' \"$AWS_ACCESS_KEY_ID\" \"$AWS_SECRET_ACCESS_KEY\"")
            .arg(&file)
            .output()
            .unwrap();
        let expected = format!("{} {}", key.access_key, key.secret_key);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
