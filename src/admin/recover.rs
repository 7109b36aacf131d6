//! A backup that was put into a bucket, read off the drives without any metadata.
//!
//! Its slip says of which blobs it is; where their fragments lie, and in which layout, the drives
//! say. Nothing is changed on them.

use std::collections::BTreeMap;
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use futures::{Stream, StreamExt as _};
use holdfast_codec::Reference;
use holdfast_erasure::{BlobLocation, Blobs, NoObserver};
use holdfast_metadata::backup::{Slip, SlipPiece, Slips};
use holdfast_sealing::{DataKey, Keyring, Open, sealed_len};
use holdfast_storage_node::ShelfFolder;
use holdfast_types::{
    BlobId, DriveId, FragmentId, FragmentIndex, FragmentStore, Generation, Placement, Region,
};

use crate::serve::{DataFolder, closed_shelves, keys_to_read, look};

/// The slips on the drives below a data folder.
pub(super) async fn slips(data: &DataFolder) -> anyhow::Result<Slips> {
    let shelves = closed_shelves(data, ShelfFolder::Backups).await?;
    Ok(tokio::task::spawn_blocking(move || Slips::read(&shelves)).await?)
}

/// Reads a backup into a new file, which gets its name when it is whole and durable.
pub(super) async fn backup_from_drives(
    data: &DataFolder,
    slip: &Slip,
    to: &Path,
) -> anyhow::Result<()> {
    if to.exists() {
        bail!("{} is there already", to.display());
    }
    let is_sealed = slip.pieces.iter().any(|piece| piece.seal.is_some());
    let keys = match is_sealed {
        true => Some(keys_to_read(&data.master_keys())?),
        false => None,
    };
    let store: Arc<dyn FragmentStore> = Arc::new(look::open_drives(data).await?);
    let source = Source {
        blobs: Blobs::new(
            Arc::clone(&store),
            Arc::new(Reference::new()),
            &holdfast_erasure::Config::default(),
            Arc::new(NoObserver),
        ),
        store,
        keys,
    };
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let cant = || format!("can't write {}", partial.display());
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .with_context(cant)?;
    for (number, piece) in slip.pieces.iter().enumerate() {
        source
            .read(piece, &mut file)
            .await
            .with_context(|| format!("piece {} of {}", number + 1, slip.pieces.len()))?;
    }
    file.sync_all().with_context(cant)?;
    std::fs::rename(&partial, to).with_context(|| format!("can't make {}", to.display()))?;
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// Drives without metadata.
struct Source {
    store: Arc<dyn FragmentStore>,
    blobs: Blobs,
    keys: Option<Keyring>,
}

impl Source {
    /// Appends a piece's content to `file`. Of several generations any that can be read serves.
    async fn read(&self, piece: &SlipPiece, file: &mut std::fs::File) -> anyhow::Result<()> {
        let key = self.key(piece)?;
        let begin = file.stream_position()?;
        let blob_len = match key {
            None => piece.len,
            Some(_) => sealed_len(piece.len),
        };
        let mut why = format!(
            "no drive that is here has enough fragments of blob {}",
            piece.blob
        );
        for location in self.locate(piece.blob).await {
            if location.len != blob_len {
                continue;
            }
            let copied = match &key {
                None => copy(self.blobs.get(location, 0..piece.len), file).await,
                Some(key) => {
                    let whole = 0..piece.len;
                    let open = Open::range(key, piece.len, &whole, |sealed| {
                        self.blobs.get(location, sealed)
                    });
                    match open {
                        Some(open) => copy(open, file).await,
                        None => Ok(()),
                    }
                }
            };
            let len = file.stream_position()? - begin;
            match copied {
                Ok(()) if len == piece.len => return Ok(()),
                Ok(()) => why = format!("blob {} gave {len} bytes", piece.blob),
                Err(error) => why = format!("blob {}: {error:#}", piece.blob),
            }
            file.set_len(begin)?;
            file.seek(std::io::SeekFrom::Start(begin))?;
        }
        bail!(why)
    }

    fn key(&self, piece: &SlipPiece) -> anyhow::Result<Option<DataKey>> {
        let (Some(seal), Some(keys)) = (&piece.seal, &self.keys) else {
            return Ok(None);
        };
        let wrapped = hex::decode(&seal.wrapped_key).context("its wrapped key")?;
        let opened = keys.unwrap(&seal.master_key, piece.blob.as_bytes(), &wrapped);
        let opened = opened.with_context(|| {
            format!(
                "it is encrypted, and master key {} is not here",
                seal.master_key
            )
        })?;
        opened
            .map(Some)
            .map_err(|_| anyhow::anyhow!("its wrapped key is not what was written"))
    }

    /// Where a blob is, newest generation first, as far as enough fragments are there.
    async fn locate(&self, blob: BlobId) -> Vec<BlobLocation> {
        let mut found: BTreeMap<(Region, Generation), Vec<(FragmentIndex, DriveId)>> =
            BTreeMap::new();
        for drive in self.store.drives() {
            // What a drive can't tell is looked for on the others.
            for id in self.fragments(drive.id, blob).await.unwrap_or_default() {
                let place = found.entry((id.region, id.generation)).or_default();
                place.push((id.index, drive.id));
            }
        }
        let mut locations = Vec::new();
        for ((region, generation), fragments) in found {
            let placed = self.placed(blob, &region, generation, &fragments).await;
            locations.extend(placed);
        }
        locations.sort_by_key(|location| std::cmp::Reverse(location.placement.generation));
        locations
    }

    async fn placed(
        &self,
        blob: BlobId,
        region: &Region,
        generation: Generation,
        fragments: &[(FragmentIndex, DriveId)],
    ) -> Option<BlobLocation> {
        for (index, drive) in fragments {
            let id = FragmentId {
                blob,
                region: region.clone(),
                generation,
                index: *index,
            };
            let Ok(header) = self.store.stat(*drive, &id).await else {
                continue;
            };
            let mut drives = vec![None; usize::from(header.layout.width())];
            for (index, drive) in fragments {
                if let Some(place) = drives.get_mut(usize::from(index.0)) {
                    *place = Some(*drive);
                }
            }
            let placement = Placement {
                region: region.clone(),
                generation,
                layout: header.layout,
                drives,
            };
            return Some(BlobLocation {
                blob,
                len: header.blob_len,
                placement,
            });
        }
        None
    }

    /// The fragments of a blob on a drive.
    async fn fragments(&self, drive: DriveId, blob: BlobId) -> anyhow::Result<Vec<FragmentId>> {
        let mut after = just_before(blob)?;
        let mut found = Vec::new();
        loop {
            let page = self.store.list(drive, Some(&after), PAGE).await?;
            let is_last = page.len() < PAGE;
            for id in page {
                if id.blob > blob {
                    return Ok(found);
                }
                after = id.clone();
                if id.blob == blob {
                    found.push(id);
                }
            }
            if is_last {
                return Ok(found);
            }
        }
    }
}

/// An id that all fragments of a blob come after.
fn just_before(blob: BlobId) -> anyhow::Result<FragmentId> {
    let before = u128::from_be_bytes(*blob.as_bytes()).saturating_sub(1);
    Ok(FragmentId {
        blob: BlobId::from_bytes(before.to_be_bytes()),
        region: Region::parse(&"z".repeat(Region::MAX_LEN))?,
        generation: Generation(u32::MAX),
        index: FragmentIndex(u8::MAX),
    })
}

async fn copy<E>(
    mut bytes: impl Stream<Item = Result<bytes::Bytes, E>> + Unpin,
    file: &mut std::fs::File,
) -> anyhow::Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    while let Some(piece) = bytes.next().await {
        file.write_all(&piece?)?;
    }
    Ok(())
}

/// Fragments that are listed at once.
const PAGE: usize = 64;
