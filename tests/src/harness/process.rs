//! One of the product's processes, with its log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

pub struct Process {
    /// `worker`, or `worker-2` where there are several.
    pub name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `<binaries>/<program>`; its log goes to `<logs>/<name>.log`, behind what is there.
    pub fn start(
        binaries: &Path,
        program: &str,
        name: &str,
        arguments: &[&str],
        environment: Vec<(String, String)>,
        logs: &Path,
    ) -> Self {
        let program = binaries.join(program);
        assert!(
            program.exists(),
            "{} is not built; run bin/test, or cargo build --workspace --bins",
            program.display()
        );
        let log = logs.join(format!("{name}.log"));
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = spawn(&program, &arguments, &environment, &log);
        Self { name: name.to_owned(), program, arguments, environment, log, child }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The same process anew, once the old one has ended.
    pub fn restart(&mut self) {
        self.child = spawn(&self.program, &self.arguments, &self.environment, &self.log);
    }

    /// As an operating system under memory pressure does it.
    pub async fn kill_9(&mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }

    /// How it ended by itself, if it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGTERM, and the exit within the 30 s that a platform grants.
    pub async fn stop(&mut self) -> Result<(), String> {
        if let Some(status) = self.ended() {
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

fn spawn(program: &Path, arguments: &[String], environment: &[(String, String)], log: &Path) -> Child {
    let output = File::options().create(true).append(true).open(log).unwrap();
    Command::new(program)
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
        .unwrap()
}

/// Where cargo put the product's programs: beside, or above, the program that runs now.
pub fn binaries() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    // target/debug/deps/it-<hash>, or target/debug/torture.
    let directory = program.parent().expect("a program is in a directory");
    if directory.ends_with("deps") { directory.parent().expect("deps is in a directory") } else { directory }.to_owned()
}
