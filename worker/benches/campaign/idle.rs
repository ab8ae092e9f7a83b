//! What the processes ask the database while nobody calls anybody.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::database::Statement;
use crate::world::World;

/// Past the start, which is not idle yet.
const SETTLING: Duration = Duration::from_secs(12);
const WINDOW: Duration = Duration::from_secs(60);

pub struct Idle {
    pub statements_per_second: f64,
    /// In the window.
    pub busiest: Vec<Statement>,
}

/// Processes that end with the measurement, however it ends.
struct Processes(Vec<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts api, worker and media from the directory `binaries`, whose environment must be complete but for the database, and
/// counts their statements over a minute.
pub async fn measure(world: &World, binaries: &Path) -> anyhow::Result<Idle> {
    let mut processes = Processes(Vec::new());
    for (program, arguments) in [("api", &["serve"][..]), ("worker", &[]), ("media", &[])] {
        let child = Command::new(binaries.join(program))
            .args(arguments)
            .env("DATABASE_URL", &world.db.url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{program} does not start"))?;
        processes.0.push(child);
    }
    sleep(SETTLING).await;
    world.db.forget_statements().await?;
    let (before, began) = (world.db.written().await?, Instant::now());
    sleep(WINDOW).await;
    let counted = world.db.written().await? - before;
    for child in &mut processes.0 {
        anyhow::ensure!(child.try_wait()?.is_none(), "a process ended while it was idle");
    }
    let busiest = world.db.busiest(8).await?;
    let statements = f64::from(u32::try_from(counted.statements)?);
    Ok(Idle { statements_per_second: statements / began.elapsed().as_secs_f64(), busiest })
}
