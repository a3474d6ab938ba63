//! `crmflow serve`: the HTTP API on this machine.

use std::{future::IntoFuture, path::Path, process::ExitCode, time::Duration};

use api::{Api, router_with};
use tokio::net::TcpListener;
use tracing::Level;

use crate::{cli::Serve, clock, exit::Exit, folder::Folder, logs, uploads};

/// How long requests that are being answered may take once the server was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until Ctrl-C or SIGTERM. Executions that have not ended then go on at the next start.
pub(super) fn run(data: &Path, template: Option<&Path>, args: &Serve) -> Result<ExitCode, Exit> {
    if !args.listen.ip().is_loopback() {
        return Err(Exit::usage(format!(
            "{} is not a loopback address; there are no API keys yet, so crmflow listens on loopback only",
            args.listen.ip()
        )));
    }
    let wiring = super::wiring(template)?;
    let folder = Folder::open(data, &format!("serve --listen {}", args.listen))?;
    logs::start(&folder.paths.logs(), Level::INFO);
    let flow = super::flow(&folder, wiring);
    super::block_on(async {
        let listener = TcpListener::bind(args.listen).await;
        let listener =
            listener.map_err(|error| Exit::failed(format!("cannot listen on {}: {error}", args.listen)))?;
        let address = listener.local_addr().map_err(|error| Exit::failed(error.to_string()))?;
        flow.executions.resume().await?;
        let host = folder.host.clone();
        let api = Api::new(host.store, host.objects, flow.clone(), clock::now, clock::random);
        let app = router_with(api, uploads::route(flow));
        super::print(&format!("crmflow listens on http://{address} (try http://{address}/docs)\n"));
        let server = axum::serve(listener, app).with_graceful_shutdown(stopped()).into_future();
        tokio::select! {
            ended = server => ended.map_err(|error| Exit::failed(error.to_string()))?,
            () = async { stopped().await; tokio::time::sleep(GRACE).await } => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => _ = signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt => {}
        () = terminate => {}
    }
}
