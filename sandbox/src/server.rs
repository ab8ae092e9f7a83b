//! The one listener of the sandbox, in the binary or inside a test.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{settings::Settings, world::World};

/// How long calls that are up may take to say goodbye.
const GRACE: Duration = Duration::from_secs(5);

/// A sandbox that is up.
pub struct Running {
    pub addr: SocketAddr,
    pub world: Arc<World>,
    pub shutdown: Shutdown,
}

impl Running {
    /// `http://127.0.0.1:9100`, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// Ends the sandbox. Dropping it without [`Shutdown::stop`] ends it too, without waiting.
pub struct Shutdown {
    closing: CancellationToken,
    world: Arc<World>,
    server: Option<JoinHandle<()>>,
}

impl Shutdown {
    /// Hangs up what is up, then stops listening.
    pub async fn stop(mut self) {
        self.world.exotel.closing.cancel();
        self.world.exotel.tasks.close();
        if timeout(GRACE, self.world.exotel.tasks.wait()).await.is_err() {
            tracing::warn!("calls did not end in time");
        }
        self.closing.cancel();
        if let Some(server) = self.server.take()
            && timeout(GRACE, server).await.is_err()
        {
            tracing::warn!("connections did not end in time");
        }
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        self.world.exotel.closing.cancel();
        self.closing.cancel();
    }
}

/// Listens on the settings' address (port 0: any free one) and serves until shut down.
///
/// # Errors
///
/// The address is not on loopback, or it is taken.
pub async fn serve(settings: Settings) -> anyhow::Result<Running> {
    let host = settings.host;
    ensure!(host.is_loopback(), "SANDBOX_HOST is {host}; the sandbox serves on loopback only");
    let listener = TcpListener::bind((host, settings.port))
        .await
        .with_context(|| format!("SANDBOX_PORT: listening on {host}:{}", settings.port))?;
    let addr = listener.local_addr().context("reading the address listened on")?;

    let world = World::new(settings);
    world.exotel.set_base_url(format!("http://{addr}"));
    let closing = CancellationToken::new();
    let (app, closed) = (crate::app(world.clone()), closing.clone());
    let server = tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(closed.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the listener failed");
        }
    });
    let shutdown = Shutdown { closing, world: world.clone(), server: Some(server) };
    Ok(Running { addr, world, shutdown })
}
