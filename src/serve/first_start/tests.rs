//! First starts that are cut after each step, and later starts on folders that changed meanwhile.

use std::fs;
use std::sync::Arc;

use holdfast_metadata::MetadataConfig;
use holdfast_types::SystemClock;
use tempfile::TempDir;

use super::*;

/// A data folder and its metadata, as one process has them.
struct Store {
    data: DataFolder,
    metadata: Metadata,
}

impl Store {
    async fn open(folder: &TempDir) -> Self {
        let data = DataFolder::take(&folder.path().join("data")).unwrap();
        data.make_database_folder().unwrap();
        let config = MetadataConfig::new(format!("sqlite:{}", data.database().display()));
        let region = Region::parse("us-east-1").unwrap();
        let metadata = Metadata::open(&config, region, Arc::new(SystemClock))
            .await
            .unwrap();
        Self { data, metadata }
    }

    /// What `serve` does with it, in one go.
    async fn start(&self, asked: &Asked) -> anyhow::Result<(Fixed, Vec<FoundDrive>)> {
        let fixed = settle(&self.metadata, &self.data, asked).await?;
        let drives = drives(&self.metadata, &self.data, &fixed).await?;
        default_policy(&self.metadata, &fixed).await?;
        Ok((fixed, drives))
    }

    async fn close(self) {
        self.metadata.close().await;
    }
}

fn asked(layout: &str, drives: u16) -> Asked {
    Asked {
        layout: Some(layout.parse().unwrap()),
        drives: Some(drives),
        region: None,
    }
}

/// A finished first start with 2+1 on three drives.
async fn finished(folder: &TempDir) -> (Fixed, Vec<FoundDrive>) {
    let store = Store::open(folder).await;
    let started = store.start(&asked("2+1", 3)).await.unwrap();
    store.close().await;
    started
}

#[tokio::test]
async fn a_first_start_makes_everything_and_the_next_takes_it() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder).await;
    refuse_lost_database(&store.data).unwrap();
    let (fixed, drives) = store.start(&Asked::default()).await.unwrap();
    assert_eq!(fixed.layout, default_layout());
    assert_eq!(fixed.region.as_str(), "us-east-1");
    assert_eq!(drives.len(), 6);
    for (number, drive) in (1..).zip(&drives) {
        assert_eq!(drive.path, store.data.drive(number));
        let identity = read_identity(&drive.path).unwrap();
        assert_eq!(
            identity,
            DriveIdentity {
                cluster: fixed.cluster,
                drive: drive.id
            }
        );
    }
    let policy = store
        .metadata
        .policy(DEFAULT_POLICY)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(policy.rule, SizeRule::new(default_layout()));
    store.close().await;

    let store = Store::open(&folder).await;
    let again = store.start(&Asked::default()).await.unwrap();
    assert_eq!(again.0, fixed);
    assert_eq!(sorted(again.1), sorted(drives));
    store.close().await;
}

#[tokio::test]
async fn a_first_start_that_is_cut_after_any_step_is_completed_by_the_next() {
    let wanted = asked("2+1", 3);
    for drives_formatted in 0..=3 {
        let folder = TempDir::new().unwrap();
        let store = Store::open(&folder).await;
        let fixed = settle(&store.metadata, &store.data, &wanted).await.unwrap();
        let formatted: Vec<FoundDrive> = (1..=drives_formatted)
            .map(|number| form(&store.data.drive(number), fixed.cluster).unwrap())
            .collect();
        store.close().await;

        let store = Store::open(&folder).await;
        refuse_lost_database(&store.data).unwrap();
        let (again, drives) = store.start(&wanted).await.unwrap();
        assert_eq!(
            again, fixed,
            "the cluster is the same after {drives_formatted} drives"
        );
        assert_eq!(drives.len(), 3);
        assert_eq!(
            drives[..formatted.len()],
            formatted,
            "made drives are taken as they are"
        );
        assert_eq!(store.metadata.drives().await.unwrap().len(), 3);
        store.close().await;
    }
}

#[tokio::test]
async fn a_format_that_is_cut_half_way_is_completed() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder).await;
    let wanted = asked("2+1", 3);
    settle(&store.metadata, &store.data, &wanted).await.unwrap();
    // The folder and its sub-folders are made before the identity, which comes last.
    fs::create_dir_all(store.data.drive(1).join("fragments")).unwrap();
    fs::create_dir_all(store.data.drive(2)).unwrap();
    let (_, drives) = store.start(&wanted).await.unwrap();
    assert_eq!(drives.len(), 3);
    store.close().await;
}

#[tokio::test]
async fn a_cut_before_the_setting_leaves_nothing_that_counts() {
    let folder = TempDir::new().unwrap();
    Store::open(&folder).await.close().await;
    let store = Store::open(&folder).await;
    let (fixed, _) = store.start(&asked("copies:2", 2)).await.unwrap();
    assert_eq!(fixed.drives, 2, "the second start decides");
    store.close().await;
}

#[tokio::test]
async fn other_settings_than_the_first_ones_are_refused() {
    let folder = TempDir::new().unwrap();
    finished(&folder).await;
    let store = Store::open(&folder).await;
    for (asked, what) in [
        (asked("4+2", 3), "layout 2+1"),
        (asked("2+1", 4), "drives 3"),
        (
            Asked {
                region: Some(Region::parse("eu-1").unwrap()),
                ..Asked::default()
            },
            "region us-east-1",
        ),
    ] {
        let message = store.start(&asked).await.unwrap_err().to_string();
        assert!(
            message.contains(what) && message.contains("fixed at first start"),
            "{message}"
        );
    }
    store.start(&asked("2+1", 3)).await.unwrap();
    store.close().await;
}

#[test]
fn too_few_drives_are_refused_before_anything_is_made() {
    let message = plan(&asked("4+2", 5)).unwrap_err().to_string();
    assert!(message.contains("ask for 6 or more drives"), "{message}");
    let layout = Some("8+3".parse().unwrap());
    assert!(
        plan(&Asked {
            layout,
            ..Asked::default()
        })
        .is_err(),
        "six is the default"
    );
}

#[tokio::test]
async fn an_emptied_drive_is_missing_and_never_formatted_again() {
    let folder = TempDir::new().unwrap();
    let (_, first) = finished(&folder).await;
    fs::remove_dir_all(&first[0].path).unwrap();
    fs::create_dir(&first[0].path).unwrap();
    fs::remove_dir_all(&first[1].path).unwrap();

    let store = Store::open(&folder).await;
    let (_, drives) = store.start(&Asked::default()).await.unwrap();
    assert_eq!(
        sorted(drives),
        sorted(first.clone()),
        "each keeps its id and folder"
    );
    assert!(matches!(
        read_identity(&first[0].path),
        Err(IdentityError::NotFormatted { .. })
    ));
    assert!(matches!(
        read_identity(&first[1].path),
        Err(IdentityError::NoFolder { .. })
    ));
    store.close().await;
}

#[tokio::test]
async fn drives_that_changed_places_are_found() {
    let folder = TempDir::new().unwrap();
    let (_, first) = finished(&folder).await;
    let aside = first[0].path.with_file_name("aside");
    fs::rename(&first[0].path, &aside).unwrap();
    fs::rename(&first[1].path, &first[0].path).unwrap();

    let store = Store::open(&folder).await;
    let (_, drives) = store.start(&Asked::default()).await.unwrap();
    let path_of = |id| {
        drives
            .iter()
            .find(|drive| drive.id == id)
            .unwrap()
            .path
            .clone()
    };
    assert_eq!(path_of(first[0].id), aside);
    assert_eq!(path_of(first[1].id), first[0].path);
    assert_eq!(path_of(first[2].id), first[2].path);
    store.close().await;
}

#[tokio::test]
async fn a_missing_drive_whose_folder_another_took_points_nowhere() {
    let folder = TempDir::new().unwrap();
    let (_, first) = finished(&folder).await;
    fs::remove_dir_all(&first[0].path).unwrap();
    fs::rename(&first[1].path, &first[0].path).unwrap();

    let store = Store::open(&folder).await;
    let (_, drives) = store.start(&Asked::default()).await.unwrap();
    let path_of = |id| {
        drives
            .iter()
            .find(|drive| drive.id == id)
            .unwrap()
            .path
            .clone()
    };
    assert_eq!(path_of(first[1].id), first[0].path);
    assert!(!path_of(first[0].id).exists());
    store.close().await;
}

#[tokio::test]
async fn a_copied_drive_is_not_used_twice() {
    let folder = TempDir::new().unwrap();
    let (_, first) = finished(&folder).await;
    let copy = first[0].path.with_file_name("00");
    fs::create_dir(&copy).unwrap();
    fs::copy(
        first[0].path.join("holdfast-drive"),
        copy.join("holdfast-drive"),
    )
    .unwrap();

    let store = Store::open(&folder).await;
    let (_, drives) = store.start(&Asked::default()).await.unwrap();
    assert_eq!(
        sorted(drives),
        sorted(first.clone()),
        "the one that was there before is used"
    );

    fs::rename(&first[0].path, first[0].path.with_file_name("09")).unwrap();
    let message = store
        .start(&Asked::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(message.contains("both say they are drive"), "{message}");
    store.close().await;
}

#[tokio::test]
async fn drives_without_their_database_are_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let (fixed, first) = finished(&folder).await;
    let data = DataFolder::take(&folder.path().join("data")).unwrap();
    fs::remove_dir_all(data.database().parent().unwrap()).unwrap();
    let message = refuse_lost_database(&data).unwrap_err().to_string();
    assert!(message.contains(&fixed.cluster.to_string()), "{message}");
    assert!(message.contains("Put the database back"), "{message}");
    assert!(!data.database().exists(), "no empty database was made");
    drop(data);

    // Someone made an empty database: it knows no cluster either.
    let store = Store::open(&folder).await;
    let message = store
        .start(&Asked::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(message.contains("Put the database back"), "{message}");
    for drive in &first {
        assert_eq!(read_identity(&drive.path).unwrap().cluster, fixed.cluster);
    }
    assert_eq!(store.metadata.setting(SETTING).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn a_foreign_drive_or_somebodys_files_stop_a_first_start() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder).await;
    let wanted = asked("copies:1", 1);
    settle(&store.metadata, &store.data, &wanted).await.unwrap();
    fs::create_dir_all(store.data.drive(1)).unwrap();
    let photo = store.data.drive(1).join("photo.jpg");
    fs::write(&photo, "x").unwrap();
    let message = format!("{:#}", store.start(&wanted).await.unwrap_err());
    assert!(message.contains("photo.jpg"), "{message}");
    assert_eq!(fs::read(&photo).unwrap(), b"x");

    fs::remove_file(&photo).unwrap();
    format_drive(
        &store.data.drive(1),
        ClusterId::generate(),
        DriveId::generate(),
    )
    .unwrap();
    let message = store.start(&wanted).await.unwrap_err().to_string();
    assert!(
        message.contains("is a drive of another cluster"),
        "{message}"
    );
    assert!(store.metadata.drives().await.unwrap().is_empty());
    store.close().await;
}

fn sorted(mut drives: Vec<FoundDrive>) -> Vec<FoundDrive> {
    drives.sort_by_key(|drive| drive.id);
    drives
}
