//! `holdfast serve`: every role in one process.
//!
//! Joins the rooms: drives under the data folder, erasure over them, the metadata, the gateway and
//! the workers; opens the two listeners; and takes all of it down in the reverse order when told to
//! stop, so that nothing that was acknowledged is lost and nothing in flight is cut without need.

mod background;
mod backups;
mod banner;
mod data_folder;
mod drive_set;
mod drive_watch;
mod file_systems;
mod first_start;
mod inventory_metrics;
mod journal;
mod journal_metrics;
mod lifecycle_day;
mod lifecycle_metrics;
pub(crate) mod look;
mod master_keys;
mod memory_metrics;
mod process;
mod reencode_metrics;
mod repair_metrics;
mod rooms;
mod root_key;
mod sample_metrics;
mod scrubbing;
mod settings;
mod stop;
mod store_metrics;
mod upkeep;
mod verification;
mod webhooks;
mod whereabouts;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use holdfast_gateway::server::{self, Limits, Proxies, Tls, Transport};
use holdfast_metadata::journal::Recovered;
use holdfast_metadata::{Metadata, MetadataConfig};
use holdfast_types::{Clock, Region, SystemClock};
use tokio::net::TcpListener;

use self::first_start::{Fixed, FoundDrive};
use self::master_keys::MasterKeys;
use self::rooms::Rooms;
use self::root_key::RootKey;
use self::settings::Settings;
use crate::cli::ServeArgs;

pub(crate) use self::data_folder::{DataFolder, root_key_file};
pub(crate) use self::first_start::cluster_of;
pub(crate) use self::journal::closed_shelves;
pub(crate) use self::master_keys::keys_to_read;
pub(crate) use self::root_key::{ACCESS_KEY, SECRET_KEY, read as read_root_key};

/// Serves until it is told to stop.
pub(crate) fn run(args: ServeArgs) -> anyhow::Result<()> {
    crate::logging::start()?;
    let settings = Settings::new(args)?;
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("holdfast")
        .build()
        .context("can't start the runtime")?;
    let served = runtime.block_on(serve(settings));
    // Disk calls of a drive that hangs must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(5));
    served
}

/// What a start has made sure of before anything is served.
struct Prepared {
    data: DataFolder,
    metadata: Metadata,
    fixed: Fixed,
    drives: Vec<FoundDrive>,
    root: RootKey,
    master_keys: MasterKeys,
    clock: Arc<dyn Clock>,
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let stop = stop::on_signals()?;
    // What can't work is refused before the first folder is made.
    first_start::plan(&settings.asked)?;
    let environment_key = root_key::from_environment()?;
    let tls = settings
        .tls
        .clone()
        .map(Tls::load)
        .transpose()
        .context("can't serve HTTPS")?;
    // Addresses first: a port that is taken must not leave a half-made store behind.
    let s3_listener = listen(settings.listen, "S3").await?;
    let admin_listener = listen(settings.admin_listen, "the admin API").await?;
    let s3_address = s3_listener.local_addr()?;
    let admin_address = admin_listener.local_addr()?;

    let prepared = prepare(&settings, environment_key).await?;
    let banner = banner::Banner::new(&prepared, s3_address, admin_address, tls.is_some()).await;
    let rooms = Rooms::open(prepared, &settings).await?;
    banner.print();

    let renewing = tls.clone().map(|tls| tokio::spawn(tls.watch()));
    let transport = |proxies| Transport {
        tls: tls.clone(),
        proxies,
    };
    let limits = Limits {
        pressure: rooms.pressure(),
        ..Limits::for_open_files(process::file_limit())
    };
    let s3 = server::serve(
        s3_listener,
        transport(settings.proxies.clone()),
        rooms.s3_service(&settings),
        limits.clone(),
        stop.clone().cancelled_owned(),
    );
    let admin = server::serve(
        admin_listener,
        // Who asks from this machine may ask without a key: nobody else is believed to.
        transport(Proxies::default()),
        rooms.admin_service(),
        limits,
        stop.cancelled_owned(),
    );
    let (s3, _) = tokio::join!(s3, admin);
    if let Some(renewing) = renewing {
        renewing.abort();
    }
    rooms.close().await;
    if s3.cut_connections > 0 {
        tracing::warn!(
            cut_connections = s3.cut_connections,
            "stopped with requests cut short"
        );
    } else {
        tracing::info!("stopped");
    }
    Ok(())
}

async fn listen(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("can't serve {what} on {address}"))
}

/// Makes or finds the store: data folder, metadata, drives and root key.
async fn prepare(
    settings: &Settings,
    environment_key: Option<holdfast_gateway::admin::KeyPair>,
) -> anyhow::Result<Prepared> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataFolder::take(&settings.data)?;
    data.make_database_folder()?;
    let recovered = journal::restore(&data, settings.restore).await?;
    first_start::refuse_lost_database(&data)?;
    let region = first_start::plan(&settings.asked)?.region;
    let mut config = MetadataConfig::new(format!("sqlite:{}", data.database().display()));
    config.garbage_grace_seconds = settings.worker.garbage_grace_seconds;
    config.samples = settings.worker.sample_rule();
    config.lifecycle_day_seconds = lifecycle_day::announce(&settings.worker);
    let mut metadata = open_metadata(&config, region.clone(), &clock).await?;
    let fixed = first_start::settle(&metadata, &data, &settings.asked).await?;
    if fixed.region != region {
        // Which region this is stands in the metadata, which is told its region when it is opened.
        metadata.close().await;
        metadata = open_metadata(&config, fixed.region.clone(), &clock).await?;
    }
    let drives = first_start::drives(&metadata, &data, &fixed).await?;
    first_start::default_policy(&metadata, &fixed).await?;
    if matches!(recovered, Recovered::Restored { .. }) && environment_key.is_none() {
        root_key::restore(&metadata, &data.root_key()).await?;
    }
    let root = root_key::find_or_make(environment_key, &data.root_key())?;
    root_key::record(&metadata, &root.pair, clock.now_ms()).await?;
    let master_keys = MasterKeys::find_or_make(data.master_keys(), &metadata, &clock).await?;
    Ok(Prepared {
        data,
        metadata,
        fixed,
        drives,
        root,
        master_keys,
        clock,
    })
}

async fn open_metadata(
    config: &MetadataConfig,
    region: Region,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Metadata> {
    Metadata::open(config, region, Arc::clone(clock))
        .await
        .with_context(|| format!("can't open the metadata at {}", config.url))
}
