//! A private PostgreSQL server for one test run: a plain server on a Unix socket, in a folder of
//! its own, as a user that is not root.
//!
//! A shell holds the server and waits for its standard input to end, which happens when the test
//! process ends in whatever way: then it stops the server and removes the folder.
//!
//! Where PostgreSQL is not installed the tests say so loudly, or fail if
//! `HOLDFAST_TEST_POSTGRES=require`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::Connection as _;

/// The server of this test process.
pub(crate) struct Server {
    folder: PathBuf,
    databases: AtomicU32,
    _shell: Child,
}

/// The server, started by the first test that asks; `None` where there is no PostgreSQL.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref()
}

impl Server {
    fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let required = std::env::var("HOLDFAST_TEST_POSTGRES").is_ok_and(|v| v == "require");
            assert!(
                !required,
                "PostgreSQL is required by HOLDFAST_TEST_POSTGRES and not installed"
            );
            eprintln!(
                "\n*** SKIPPED: PostgreSQL is not installed, its half of the suite did not run ***\n"
            );
            return None;
        };
        let base = if Path::new("/dev/shm").is_dir() {
            "/dev/shm"
        } else {
            "/tmp"
        };
        let folder = PathBuf::from(format!("{base}/holdfast-pg-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let as_user = as_user(&folder);
        let made = command(&as_user, &programs.join("initdb"))
            .args(["-U", "holdfast", "-A", "trust", "-E", "UTF8", "-N"])
            // A locale that does not sort by bytes: what must be in the order of bytes has to say so.
            .args(["--locale-provider=icu", "--icu-locale=en-US", "--locale=C"])
            .arg("-D")
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let start = format!(
            "{} {}/postgres -D {dir}/data -k {dir} -c listen_addresses= -c max_connections=300 \
             -c shared_buffers=64MB -c deadlock_timeout=100ms -c log_min_messages=fatal & \
             server=$!; cat >/dev/null; kill -INT $server; wait $server; rm -rf {dir}",
            as_user.join(" "),
            programs.display(),
            dir = folder.display(),
        );
        let shell = Command::new("sh")
            .args(["-c", &start])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            folder,
            databases: AtomicU32::new(0),
            _shell: shell,
        };
        server.wait_until_ready(&command(&as_user, &programs.join("pg_isready")));
        Some(server)
    }

    fn wait_until_ready(&self, _probe: &Command) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let url = self.url("postgres", "starting");
        while Instant::now() < deadline {
            if runtime.block_on(sqlx::PgConnection::connect(&url)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("PostgreSQL did not start in a minute");
    }

    /// The address of a database, for a client that calls itself `application`.
    pub(crate) fn url(&self, database: &str, application: &str) -> String {
        format!(
            "postgres://holdfast@localhost/{database}?host={}&application_name={application}",
            self.folder.display()
        )
    }

    /// Makes an empty database and gives its name.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = sqlx::PgConnection::connect(&self.url("postgres", "maker"))
            .await
            .unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        name
    }
}

/// The folder of PostgreSQL's programs, newest version first.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

/// The words that make a program run as `postgres` where we are root, which the server refuses to
/// be; the folder is given to that user.
fn as_user(folder: &Path) -> Vec<String> {
    let uid = Command::new("id").arg("-u").output().unwrap();
    if String::from_utf8_lossy(&uid.stdout).trim() != "0" {
        return Vec::new();
    }
    let given = Command::new("chown")
        .arg("postgres")
        .arg(folder)
        .status()
        .unwrap();
    assert!(given.success());
    [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--init-groups",
        "--",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn command(as_user: &[String], program: &Path) -> Command {
    match as_user {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}
