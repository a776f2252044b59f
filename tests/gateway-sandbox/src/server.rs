//! Puts the wires and the `/__sandbox` side on one listener.
use std::{io, path::PathBuf, sync::Arc, time::Duration};

use axum::{Router, middleware};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    admin, console,
    core::{Core, Endpoint},
    line::{self, CuttableListener, Switch},
    stripe, toss,
};

/// How long requests in flight may take once the sandbox is told to stop.
const GRACE: Duration = Duration::from_secs(2);
/// A minute of a gateway's webhook retry schedule passes in one second.
const RETRY_SPEED: u32 = 60;

/// How to run a sandbox.
#[derive(Clone)]
pub struct Options {
    /// Loaded at start, written at stop.
    pub state: Option<PathBuf>,
    /// Where events go; these replace what the state file says.
    pub endpoints: Vec<Endpoint>,
    /// Webhook retry delays are divided by this; 1 is the gateways' own schedule.
    pub retry_speed: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { state: None, endpoints: Vec::new(), retry_speed: RETRY_SPEED }
    }
}

/// A running sandbox. Dropping it ends it at once, without saving.
pub struct Sandbox {
    /// `http://127.0.0.1:PORT`, no slash at the end.
    pub url: String,
    /// For tests that look inside.
    pub core: Arc<Core>,
    state: Option<PathBuf>,
    closing: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl Sandbox {
    /// Ends it: requests in flight get a moment, then the state is saved if there is a state file.
    pub async fn stop(mut self) -> io::Result<()> {
        self.core.close();
        self.closing.send_replace(true);
        // Idle or hung connections do not hold the end up; what they would have done is not promised to anyone.
        let _ = tokio::time::timeout(GRACE, &mut self.task).await;
        self.state.as_ref().map_or(Ok(()), |path| self.core.save(path))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.core.close();
        self.task.abort();
    }
}

/// Starts a sandbox on `listener` (bind `127.0.0.1:0` for a free port). Errors: an unreadable state file.
pub async fn serve(listener: TcpListener, options: Options) -> io::Result<Sandbox> {
    let core = Core::new(options.retry_speed)?;
    if let Some(path) = &options.state {
        core.load(path)?;
    }
    for endpoint in options.endpoints {
        core.set_endpoint(endpoint);
    }
    core.resume_deliveries();
    let url = format!("http://{}", listener.local_addr()?);
    let (closing, mut closed) = watch::channel(false);
    let app = router(&core).into_make_service_with_connect_info::<Switch>();
    let server = axum::serve(CuttableListener(listener), app).with_graceful_shutdown(async move {
        // An error means the handle is gone, which is the same news.
        let _ = closed.wait_for(|closed| *closed).await;
    });
    let task = tokio::spawn(async move { server.await });
    Ok(Sandbox { url, core, state: options.state, closing, task })
}

fn router(core: &Arc<Core>) -> Router {
    Router::new()
        .merge(toss::router(Arc::clone(core)))
        .merge(stripe::router(Arc::clone(core)))
        .merge(admin::router(Arc::clone(core)))
        .merge(console::router(Arc::clone(core)))
        .layer(middleware::from_fn(line::cut_if_asked))
}
