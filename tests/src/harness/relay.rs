//! A TCP relay on loopback: the load balancer before several `media` processes, and the bad network before Postgres.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const CHUNK_BYTES: usize = 16 * 1024;

/// Passes connections on to the first of its targets that takes them, in turn. Dropping it breaks them all.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    closing: CancellationToken,
}

struct Shared {
    targets: Vec<SocketAddr>,
    next: AtomicUsize,
    /// Milliseconds that every piece of data waits, in either direction.
    delay_ms: AtomicU64,
    /// Rises with each cut: connections of an older generation are broken.
    generation: watch::Sender<u64>,
    unplugged: AtomicBool,
}

impl Relay {
    pub async fn start(targets: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            targets,
            next: AtomicUsize::new(0),
            delay_ms: AtomicU64::new(0),
            generation: watch::Sender::new(0),
            unplugged: AtomicBool::new(false),
        });
        let closing = CancellationToken::new();
        let (accepting, closed) = (Arc::clone(&shared), closing.clone());
        tokio::spawn(closed.clone().run_until_cancelled_owned(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else { continue };
                let shared = Arc::clone(&accepting);
                tokio::spawn(closed.clone().run_until_cancelled_owned(async move { shared.pass(near).await }));
            }
        }));
        Self { address, shared, closing }
    }

    /// Breaks every connection that is up; new ones are let through.
    pub fn cut(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Every connection breaks, and no new one holds until [`Relay::plug_in`].
    pub fn unplug(&self) {
        self.shared.unplugged.store(true, Ordering::Relaxed);
        self.cut();
    }

    pub fn plug_in(&self) {
        self.shared.unplugged.store(false, Ordering::Relaxed);
    }

    /// From now on every piece of data waits so long, in either direction.
    pub fn slow_down(&self, delay: Duration) {
        self.shared.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Shared {
    async fn pass(self: Arc<Self>, near: TcpStream) {
        let mut cut = self.generation.subscribe();
        cut.mark_unchanged();
        if self.unplugged.load(Ordering::Relaxed) {
            return;
        }
        let Some(far) = self.connect().await else { return };
        drop((near.set_nodelay(true), far.set_nodelay(true)));
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        tokio::select! {
            () = self.pump(near_in, far_out) => {}
            () = self.pump(far_in, near_out) => {}
            _ = cut.changed() => {}
        }
    }

    /// The next target that takes a connection; none of them may.
    async fn connect(&self) -> Option<TcpStream> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for turn in 0..self.targets.len() {
            let target = self.targets[(first + turn) % self.targets.len()];
            if let Ok(stream) = TcpStream::connect(target).await {
                return Some(stream);
            }
        }
        None
    }

    async fn pump(&self, mut from: impl tokio::io::AsyncRead + Unpin, mut to: impl tokio::io::AsyncWrite + Unpin) {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            let delay_ms = self.delay_ms.load(Ordering::Relaxed);
            if delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            }
            if to.write_all(&chunk[..read]).await.is_err() {
                return;
            }
        }
    }
}
