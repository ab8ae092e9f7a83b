//! One of the product's processes, with its log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

pub struct Process {
    pub name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `target/debug/<name>`; its log goes to `<logs>/<name>.log`.
    pub fn start(name: &'static str, arguments: &[&str], environment: &[(String, String)], logs: &Path) -> Self {
        let program = program(name);
        assert!(
            program.exists(),
            "{} is not built; run bin/test, or cargo build --workspace --bins",
            program.display()
        );
        let log = logs.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("RUST_BACKTRACE", "1")
            .envs(environment.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { name, log, child }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// As an operating system under memory pressure does it.
    pub async fn kill_9(&mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }

    /// SIGTERM, and the exit within the 30 s that a platform grants.
    pub async fn stop(&mut self) -> Result<(), String> {
        if let Some(status) = self.child.try_wait().unwrap() {
            return Err(format!("{} had ended before it was stopped: {status}\n{}", self.name, self.tail()));
        }
        let pid = self.child.id().expect("it has not been waited for").to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        match tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await {
            Err(_) => Err(format!("{} did not end within 30 s of SIGTERM\n{}", self.name, self.tail())),
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => Err(format!("{} ended with {status:?}\n{}", self.name, self.tail())),
        }
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

fn program(name: &str) -> PathBuf {
    let directory = std::env::current_exe().unwrap();
    // target/debug/deps/it-<hash> → target/debug/<name>
    directory.ancestors().nth(2).expect("a test runs below the target directory").join(name)
}
