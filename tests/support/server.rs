//! The real binary on free ports over a folder of its own: started, waited for, killed, started
//! again.

use std::fs::{self, File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::client::Client;
use super::http::{self, Response};

/// The root key that test servers are given.
pub(crate) const ACCESS_KEY: &str = "HOLDFASTTESTKEY";
/// Its secret half.
pub(crate) const SECRET_KEY: &str = "a-secret-that-only-the-tests-know";

/// A server that did not come up by now is broken.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Test ports lie below the range from which the kernel gives out ports by itself.
const FIRST_PORT: u16 = 21_000;
const PORTS: u16 = 11_000;

/// A server and its folder. Dropped, it is killed, and its folder removed unless the test failed.
#[derive(Debug)]
pub(crate) struct Server {
    /// Everything of this test: data, log.
    folder: PathBuf,
    /// Where S3 is served.
    pub(crate) s3: SocketAddr,
    /// Where the admin API is.
    pub(crate) admin: SocketAddr,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Server {
    /// Starts the default: six drives, 4+2.
    pub(crate) fn start(name: &str) -> Self {
        let mut server = Self::prepare(name);
        server.restart();
        server
    }

    /// As `start`, but does not start it yet.
    pub(crate) fn prepare(name: &str) -> Self {
        let s3 = free_address();
        let folder = root_folder().join(format!("{name}-{}", s3.port()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).expect("the test folder can be made");
        Self {
            folder,
            s3,
            admin: free_address(),
            arguments: Vec::new(),
            environment: Vec::new(),
            child: None,
        }
    }

    /// With further command line arguments, from the next start on.
    pub(crate) fn with_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// With a variable in its environment, from the next start on.
    pub(crate) fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a configuration file of this text, from the next start on.
    pub(crate) fn with_config(self, text: &str) -> Self {
        let file = self.folder.join("holdfast.toml");
        fs::write(&file, text).expect("a configuration can be written");
        let file = file.display().to_string();
        self.with_arguments(&["--config", &file])
    }

    /// The configuration file that it is started with, if any.
    pub(crate) fn config(&self) -> Option<&str> {
        let at = self.arguments.iter().position(|word| word == "--config")?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The folder of drive `number`, counted from 1.
    pub(crate) fn drive(&self, number: usize) -> PathBuf {
        self.data().join("drives").join(format!("{number:02}"))
    }

    /// A client with the root key.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.s3, ACCESS_KEY, SECRET_KEY)
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Starts it (again) and waits until it is ready.
    pub(crate) fn restart(&mut self) {
        self.spawn();
        self.wait_until("it is ready", START_DEADLINE, |server| {
            server.admin_get("/readyz").is_ok_and(|r| r.status == 200)
        });
    }

    /// Starts it and waits until it answers at all: with drives away it may not be ready.
    pub(crate) fn restart_degraded(&mut self) {
        self.spawn();
        self.wait_until("it is alive", START_DEADLINE, |server| {
            server.admin_get("/healthz").is_ok_and(|r| r.status == 200)
                && http::connect(server.s3).is_ok()
        });
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none(), "it is stopped before it is started");
        let log = self.open_log();
        let child = Command::new(binary())
            .arg("serve")
            .arg("--data")
            .arg(self.data())
            .args(["--listen", &self.s3.to_string()])
            .args(["--admin-listen", &self.admin.to_string()])
            .args(&self.arguments)
            .env("HOLDFAST_ACCESS_KEY", ACCESS_KEY)
            .env("HOLDFAST_SECRET_KEY", SECRET_KEY)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
    }

    /// Waits until `holds`, or fails with the end of the log.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        deadline: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) {
        let started = Instant::now();
        while !holds(self) {
            let exited = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().expect("a child can be asked"));
            assert!(
                exited.is_none(),
                "{exited:?} before {what}:\n{}",
                self.log_end()
            );
            assert!(
                started.elapsed() < deadline,
                "not after {deadline:?}: {what}\n{}",
                self.log_end()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child can be killed");
            child.wait().expect("a killed child ends");
        }
    }

    /// Asks it to stop, and waits for it to do so; true if it says that all went well.
    pub(crate) fn stop(&mut self) -> bool {
        let mut child = self.child.take().expect("the server runs");
        let pid = child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.is_ok_and(|status| status.success()), "kill works");
        child.wait().expect("it ends").success()
    }

    /// A GET of the admin listener, without credentials.
    pub(crate) fn admin_get(&self, path: &str) -> std::io::Result<Response> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.admin);
        let request = request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        http::exchange(self.admin, "GET", request.as_bytes())
    }

    /// The most memory that the process ever held, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the process can be looked at");
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok())
            .expect("the kernel states VmHWM")
    }

    /// All that it ever said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The last lines of the log.
    pub(crate) fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn open_log(&self) -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("a log can be opened")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server's folder is kept: {}", self.folder.display());
            eprintln!("the end of its log:\n{}", self.log_end());
        } else {
            fs::remove_dir_all(&self.folder).ok();
        }
    }
}

/// The binary that was built with the tests, or another one that is to be put to the same test.
pub(crate) fn binary() -> PathBuf {
    match std::env::var_os("HOLDFAST_BINARY") {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_holdfast").into(),
    }
}

/// Where test folders are: on a disk, because fsync on a RAM disk proves nothing.
fn root_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e")
}

fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() as u16).wrapping_mul(37);
    for _ in 0..PORTS {
        let offset = own.wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst)) % PORTS;
        let address = SocketAddr::from(([127, 0, 0, 1], FIRST_PORT + offset));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}
