//! `crmflow serve`: the HTTP API and the Step Functions endpoint on this machine.

use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc, time::Duration};

use api::{Api, HostName, Hosts, router_with};
use kernel::queue::QueueName;
use sqlite_store::queues::Size;
use states::MockFile;
use step_functions::{
    clock,
    machines::SyncError,
    sfn::{self, Endpoint},
};
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
};
use tracing::Level;

use crate::{
    cli::Serve,
    data_folder::DataFolder,
    event_sources,
    exit::Exit,
    flow::LocalFlow,
    http_server::{self, HEADERS_TIMEOUT},
    interrupted, logs, os_limits, requests, uploads, wakeups,
};

/// Maximum time that a stopping server waits for requests and messages in flight.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until Ctrl-C or SIGTERM. The next start resumes executions that have not ended.
pub(super) fn run(data: &Path, template: Option<&Path>, args: &Serve) -> Result<ExitCode, Exit> {
    for address in [args.listen, args.sfn_listen] {
        if !address.ip().is_loopback() {
            return Err(Exit::usage(format!(
                "{} is not a loopback address; there are no API keys yet, so crmflow listens on loopback only",
                address.ip()
            )));
        }
    }
    if args.listen == args.sfn_listen && args.listen.port() != 0 {
        let both =
            format!("--listen and --sfn-listen both name {}; each needs a port of its own", args.listen);
        return Err(Exit::usage(both));
    }
    let template = super::template(template)?;
    let mocks = args.mock.as_deref().map_or_else(|| Ok(MockFile::default()), super::mock_file)?;
    let folder = DataFolder::open_to(
        data,
        &format!("serve --listen {}", args.listen),
        args.reach.allow_destination.clone(),
    )?;
    logs::start(&folder.paths.logs(), Level::INFO);
    let flow = LocalFlow::new(&folder, template, mocks);
    let background = background()?;
    // A name lookup can block a thread for long, so the pool starts as many threads as requests need.
    let served = super::block_on_threads(&mut runtime::Builder::new_multi_thread(), async {
        let (listener, address) = listen("--listen", args.listen).await?;
        let (sfn_listener, sfn_address) = listen("--sfn-listen", args.sfn_listen).await?;
        recover(&folder, &flow, args).await?;
        let event_sources =
            background.spawn(event_sources::poll(flow.clone(), folder.paths.clone(), stopped()));
        let asked = background.spawn(requests::serve_requests(folder.paths.clone(), flow.clone()));
        let endpoint = Endpoint::new(flow.executions.clone());
        endpoint.resume().await?;
        let host = folder.host.clone();
        let api = Api::new(host.store, host.objects, flow.clone(), clock::now, clock::random)
            .with_guard(host.outbound.guard().clone())
            .with_hosts(Hosts::LoopbackAnd(args.allow_host.clone()));
        let app = router_with(api, uploads::route(flow));
        super::print(&format!(
            "crmflow listens on http://{address} (Step Functions: http://{sfn_address} ; try http://{address}/docs)\n"
        ));
        let server = http_server::serve(listener, app, HEADERS_TIMEOUT, stopped());
        // Long polls of workers last up to a minute, so they end first.
        let quiet = endpoint.clone();
        let sfn = sfn::router(endpoint, permit(&args.allow_host));
        let sfn = http_server::serve(sfn_listener, sfn, HEADERS_TIMEOUT, async move {
            stopped().await;
            quiet.close();
        });
        tokio::select! {
            (_, _, ended) = async { tokio::join!(server, sfn, event_sources) } => {
                ended.map_err(|error| Exit::failed(error.to_string()))?;
            }
            () = async { stopped().await; tokio::time::sleep(SHUTDOWN_TIMEOUT).await } => {}
        }
        asked.abort();
        Ok(ExitCode::SUCCESS)
    });
    background.shutdown_timeout(super::END_TIMEOUT);
    served
}

/// Resumes the work of the last process: executions and lanes.
async fn recover(folder: &DataFolder, flow: &LocalFlow, args: &Serve) -> Result<(), Exit> {
    let (services, queue) = (flow.services(), &folder.host.queue);
    services.machines.sync_template(&services.template).await.map_err(not_synced)?;
    interrupted::mark_waiting(flow).await?;
    flow.executions.resume().await?;
    flow.executions.delete_expired().await?;
    let limit = Size { messages: args.queue_limit, bytes: args.queue_bytes };
    queue.limit(QueueName::Events, limit).await?;
    queue.warn_of_suspects();
    wakeups::wake_lanes(&folder.host, &services.template, clock::now()).await?;
    Ok(())
}

fn not_synced(error: SyncError) -> Exit {
    match error {
        SyncError::Clash(name) => Exit::usage(format!(
            "both the template and the data folder have a machine {name}; delete the one that was created at run time"
        )),
        SyncError::Store(error) => error.into(),
    }
}

/// The hosts of the Step Functions endpoint: loopback names, and these.
fn permit(names: &[HostName]) -> sfn::Permit {
    // Clients prefix the host of StartSyncExecution and TestState with `sync-`.
    let all = names.iter().cloned().chain([HostName::localhost()]);
    let hosts = Hosts::LoopbackAnd(all.flat_map(|name| [name.with_prefix("sync-"), name]).collect());
    Arc::new(move |method, uri, headers| {
        hosts.check(method, uri, headers).map_err(|refusal| refusal.sentence())
    })
}

/// The runtime of the queue consumers; its threads yield to those of requests.
fn background() -> Result<Runtime, Exit> {
    let mut runtime = runtime::Builder::new_multi_thread();
    let runtime =
        runtime.thread_name("crmflow-flow").on_thread_start(os_limits::lower_priority).enable_all().build();
    runtime.map_err(|error| Exit::failed(format!("no threads can be started: {error}")))
}

/// Listens on an address; returns the real one, since port 0 lets the system choose.
pub(super) async fn listen(option: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Exit> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| {
        Exit::failed(format!("cannot listen on {address}: {error}; {option} names another address"))
    })?;
    let address = listener.local_addr().map_err(|error| Exit::failed(error.to_string()))?;
    Ok((listener, address))
}

/// Waits for Ctrl-C or SIGTERM.
pub(super) async fn stopped() {
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
