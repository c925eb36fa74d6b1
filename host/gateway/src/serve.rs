//! How the process starts and stops.
//!
//! Opens the data directory, makes the first revision, listens, says so in one line on
//! stdout, and drains when it is told to stop: not ready, calls in flight finish, then exit.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use tidegate_governance::audit::{Audit, AuditOptions, Durability, PayloadOptions};
use tidegate_model::{Clock, OrgId, SystemClock};
use tidegate_store::{
    EmbeddedStore, Keyring, Purpose, SledOptions, Store,
    blob::BlobArea,
    keys,
    log::{Companion, Log, LogOptions},
    payload::{MAX_PAYLOAD, Payloads},
};
use tidegate_wasm::{CacheKey, CacheSettings, Sandbox, Settings};
use tidegate_wire::server::{HostPolicy, Listener};
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    call::cursor::Cursors,
    cli::say,
    config::{
        ProcessConfig,
        process::{DurabilitySetting, PayloadSetting},
    },
    control::organisations::Organisations,
    exposure,
    facts::FactBook,
    gateway::{Gateway, Parts},
    http::{
        admin,
        listener::{self, Ending},
        ops, router,
    },
    jobs::{health, index, keep, reap, rotate::Rotation, unfinished},
    machines,
    organisation::Foundation,
    plugin_state::PluginState,
    records::Records,
    seal::Seals,
};

/// Time for what only has to say goodbye.
const FAREWELL: Duration = Duration::from_secs(1);
/// The audit log's folder in the data directory.
pub(crate) const AUDIT_DIR: &str = "audit";
/// The payloads' folder.
pub(crate) const PAYLOAD_DIR: &str = "payloads";
/// The store's folder.
pub(crate) const STORE_DIR: &str = "store";
/// The blob area's folder.
const BLOB_DIR: &str = "blobs";
/// The compile cache's folder.
const CACHE_DIR: &str = "compiled";

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) config: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) ops_listen: Option<SocketAddr>,
}

/// Runs the gateway until it is told to stop.
pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("TIDEGATE_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .init();
    let config = configuration(&options)?;
    exposure::no_core_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config, options.config))
}

/// The configuration of the process, with the command line over the file.
fn configuration(options: &Options) -> anyhow::Result<ProcessConfig> {
    let mut config = match &options.config {
        Some(dir) if !dir.is_dir() => {
            bail!("`{}` is no directory; name one with --config", dir.display())
        }
        Some(dir) => ProcessConfig::read(dir).map_err(|problem| anyhow::anyhow!("{problem}"))?,
        None => ProcessConfig::default(),
    };
    if let Some(data) = &options.data {
        config.data.clone_from(data);
    }
    if let Some(listen) = options.listen {
        config.listen = listen;
    }
    if let Some(listen) = options.ops_listen {
        config.ops_listen = listen;
    }
    if !config.listen.ip().is_loopback()
        && config.tls.is_none()
        && config.trusted_proxies.is_empty()
    {
        bail!(
            "`{}` is open to the network without TLS; add a [tls] table or `trusted_proxies` to gateway.toml",
            config.listen
        );
    }
    Ok(config)
}

/// The data directory, closed to others.
fn own_data(config: &ProcessConfig) -> anyhow::Result<PathBuf> {
    let data = config.data.clone();
    make_private(&data)
        .with_context(|| format!("cannot use the data directory `{}`", data.display()))?;
    Ok(data)
}

fn open_audit(
    config: &ProcessConfig,
    log: Option<&Log>,
    ring: &Arc<Keyring>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<Audit>> {
    Ok(Arc::new(Audit::new(AuditOptions {
        log: log.cloned(),
        payloads: payloads(config, log, ring)?,
        durability: durability(config),
        digest_key: *ring.derive(Purpose::AuditHmac),
        clock: Arc::clone(clock),
    })))
}

async fn serve(config: ProcessConfig, dir: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = own_data(&config)?;
    let kept = open_store(&config, Arc::clone(&clock)).await?;
    let store: Arc<dyn Store> = Arc::clone(&kept) as Arc<dyn Store>;
    let ring = Arc::clone(store.keyring());
    let Doors { public, ops, socket, tls, url, ops_url } = open_doors(&config).await?;
    let log = open_log(&config, &ring)?;
    let rows_before = log.as_ref().map_or(0, Log::size);
    let audit = open_audit(&config, log.as_ref(), &ring, &clock)?;
    let blobs = Arc::new(BlobArea::open(config.data.join(BLOB_DIR), Arc::clone(&ring))?);
    let plugin_state = Arc::new(PluginState::new(Arc::clone(&store), Arc::clone(&clock)));
    let egress = config.egress.open().map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let rotation = Rotation::new(kept, Arc::clone(&blobs), Arc::clone(&clock));
    let foundation = Foundation {
        sandbox: sandbox(&config, &data, &ring, Arc::clone(&clock))?,
        trust: config.trust(),
        plugin_state: Arc::clone(&plugin_state),
        egress,
        machines: machines::local(&data, dir.as_ref(), &environment()),
        environment: environment(),
        url: url.clone(),
        clock: Arc::clone(&clock),
        records: Records::new(Arc::clone(&store), blobs),
        figures: Arc::default(),
        page: config.limits.page,
    };
    let gateway = Arc::new(Gateway::new(Parts {
        hosts: hosts(&config, &url)?,
        cursors: Cursors::new(&ring.derive(Purpose::Cursors)),
        seals: Seals::new(&ring.derive(Purpose::RequestState)),
        facts: FactBook::new(Arc::clone(&store), Arc::clone(&clock)),
        plugin_state,
        config,
        clock,
        audit,
        url: url.clone(),
        foundation,
    }));
    // The sandbox has opened what it needs of `/proc`.
    exposure::no_looking_in();
    let _ = gateway.rotation.set(Arc::clone(&rotation));
    let organisations = Arc::new(Organisations::new(Arc::clone(&gateway), dir));
    if let Err(problems) = organisations.start().await {
        for problem in &problems {
            eprintln!("{problem}");
        }
        bail!("the configuration cannot be used; `tidegate check` shows the same without starting");
    }
    welcome(&gateway).await?;
    let (stop, cut) = (gateway.stopping.clone(), gateway.cut.clone());
    let public = listener::serve(
        public,
        tls,
        router::public(Arc::clone(&gateway)).merge(admin::public(&organisations)),
        Ending { stop: stop.clone(), cut: cut.clone() },
    );
    let serving = tokio::spawn(public);
    // Health and status are told until the last call has ended.
    let last = CancellationToken::new();
    let operating = listener::serve(
        ops,
        None,
        ops::router(Arc::clone(&gateway)),
        Ending { stop: last.clone(), cut },
    );
    let socket = listener::serve_unix(socket, admin::router(&organisations), last.clone());
    let helping = [tokio::spawn(operating), tokio::spawn(socket)];
    let jobs = [
        tokio::spawn(unfinished::run(Arc::clone(&gateway), rows_before)),
        tokio::spawn(index::run(Arc::clone(&gateway), Arc::clone(&store))),
        tokio::spawn(reap::run(Arc::clone(&gateway))),
        tokio::spawn(keep::run(Arc::clone(&gateway))),
        tokio::spawn(rotation.run(Arc::clone(&gateway))),
        tokio::spawn(Arc::clone(&organisations).watching()),
    ];
    let told_to_stop = told_to_stop()?;
    say(&serde_json::json!({"event": "ready", "url": url, "ops": ops_url}).to_string());
    let failed = tokio::select! {
        () = told_to_stop => None,
        why = health::store_failure(Arc::clone(&gateway)) => Some(why),
    };
    if let Some(why) = &failed {
        tracing::error!(why, "the store has failed: stopping, to be started again");
    }
    tracing::info!("stopping: calls in flight may finish");
    stop.cancel();
    drain(&gateway, serving).await;
    last.cancel();
    jobs.iter().for_each(JoinHandle::abort);
    let helped = futures_util::future::join_all(helping);
    if tokio::time::timeout(FAREWELL, helped).await.is_err() {
        tracing::debug!("a connection to the admin socket or for health is cut off");
    }
    // Whatever hangs here must not keep the process from its end.
    let _ = tokio::time::timeout(Duration::from_secs(3), organisations.close()).await;
    if let Some(log) = log {
        log.close().context("the audit log did not close in good order")?;
    }
    let _ = fs::remove_file(data.join(admin::SOCKET));
    tracing::info!("stopped");
    Ok(if failed.is_some() { ExitCode::from(70) } else { ExitCode::SUCCESS })
}

/// Where nobody could sign in to look after the gateway, shows the link by which somebody
/// becomes its owner; once, and never in the log.
async fn welcome(gateway: &Gateway) -> anyhow::Result<()> {
    let org = OrgId::default_org();
    let found = gateway.identity(org.as_str()).zip(gateway.revision(org.as_str()));
    let Some((identity, revision)) = found else { return Ok(()) };
    let link = identity.welcome.first_owner(&revision.settings).await;
    if let Some(link) = link.context("no link for the first owner can be made")? {
        eprintln!(
            "Nobody can sign in as an owner yet. Whoever opens this link within 24 hours becomes one:\n{}",
            link.expose()
        );
    }
    Ok(())
}

/// Everything the process listens on, and by which URLs it is reached.
struct Doors {
    public: TcpListener,
    ops: TcpListener,
    socket: UnixListener,
    tls: Option<TlsAcceptor>,
    url: String,
    ops_url: String,
}

async fn open_doors(config: &ProcessConfig) -> anyhow::Result<Doors> {
    let public = TcpListener::bind(config.listen).await;
    let public = public.with_context(|| format!("cannot listen on `{}`", config.listen))?;
    let ops = TcpListener::bind(config.ops_listen).await;
    let ops = ops.with_context(|| {
        format!("cannot listen on `{}` (health and metrics)", config.ops_listen)
    })?;
    let socket = admin::listen(&config.data)?;
    let tls = config.tls.as_ref().map(listener::tls).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = if config.public_url.is_empty() {
        format!("{scheme}://{}", public.local_addr()?)
    } else {
        config.public_url.clone()
    };
    let ops_url = format!("http://{}", ops.local_addr()?);
    Ok(Doors { public, ops, socket, tls, url, ops_url })
}

/// Waits until every call has ended, and cuts off those that take too long. Their rows are
/// written as they go, so the log must still be open.
async fn drain(gateway: &Gateway, mut serving: JoinHandle<()>) {
    gateway.detached.close();
    let drain = Duration::from_secs(gateway.config.limits.drain_seconds);
    let ended = async {
        let _ = (&mut serving).await;
        gateway.detached.wait().await;
    };
    if tokio::time::timeout(drain, ended).await.is_ok() {
        return;
    }
    tracing::warn!("some calls did not finish in time and are cut off");
    gateway.cut.cancel();
    let ended = async {
        if !serving.is_finished() {
            let _ = serving.await;
        }
        gateway.detached.wait().await;
    };
    if tokio::time::timeout(FAREWELL, ended).await.is_err() {
        tracing::error!("a call could not be cut off; its row is missing from the audit log");
    }
}

/// Ends with SIGTERM or SIGINT. They are caught from now on: whoever reads that the process
/// is ready may stop it in the same moment.
fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Makes a directory for its owner alone, or checks that nobody else may write in it.
fn make_private(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mode = fs::metadata(dir)?.permissions().mode();
    if mode & 0o022 != 0 {
        return Err(io::Error::other("others may write in it; run `chmod 700` on it"));
    }
    Ok(())
}

async fn open_store(
    config: &ProcessConfig,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<EmbeddedStore>> {
    if let Some(parent) = config.root_key().as_deref().and_then(Path::parent) {
        make_private(parent)
            .with_context(|| format!("cannot use the key directory `{}`", parent.display()))?;
    }
    let (source, environment) = (config.key_provider(), environment());
    let options = SledOptions::new(config.data.join(STORE_DIR));
    let opened = tokio::task::spawn_blocking(move || {
        let variable = |name: &str| environment.get(name).cloned();
        let provider = keys::provider_with(&source, &variable)?;
        EmbeddedStore::sled(options, provider, clock)
    });
    let store = Arc::new(opened.await??);
    store.ensure_org(&OrgId::default_org()).await?;
    Ok(store)
}

fn open_log(config: &ProcessConfig, ring: &Keyring) -> anyhow::Result<Option<Log>> {
    if config.audit.durability == DurabilitySetting::None {
        tracing::warn!(
            "NOTHING IS AUDITED: `audit.durability = \"none\"` is for measurements only"
        );
        return Ok(None);
    }
    let options = LogOptions::new(config.data.join(AUDIT_DIR), "tidegate/audit");
    let (log, recovery) =
        Log::open(options, &ring.log_keys()).context("the audit log cannot be opened")?;
    if recovery.torn_bytes > 0 {
        tracing::warn!(
            bytes = recovery.torn_bytes,
            "an unfinished tail of the audit log was cleared; no answered call was in it"
        );
    }
    Ok(Some(log))
}

/// The payloads beside the log, synced before each flush of it.
fn payloads(
    config: &ProcessConfig,
    log: Option<&Log>,
    ring: &Arc<Keyring>,
) -> anyhow::Result<Option<PayloadOptions>> {
    let (PayloadSetting::Masked, Some(log)) = (config.audit.payloads, log) else { return Ok(None) };
    let payloads = Arc::new(Payloads::open(config.data.join(PAYLOAD_DIR), Arc::clone(ring))?);
    log.accompany(Arc::clone(&payloads) as Arc<dyn Companion>);
    Ok(Some(PayloadOptions { payloads, limit: config.audit.payload_limit.min(MAX_PAYLOAD / 2) }))
}

fn durability(config: &ProcessConfig) -> Durability {
    match config.audit.durability {
        DurabilitySetting::Disk => Durability::Disk,
        DurabilitySetting::Process | DurabilitySetting::None => Durability::Process,
    }
}

fn sandbox(
    config: &ProcessConfig,
    data: &Path,
    ring: &Keyring,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Sandbox> {
    let key = CacheKey::new(*ring.derive(Purpose::WasmCache));
    let cache = Some(CacheSettings { folder: data.join(CACHE_DIR), key });
    Sandbox::new(Settings { cache, clock, ..config.plugins.sandbox() })
        .context("the sandbox for components cannot be set up")
}

/// Which hosts and pages may speak to the public listener.
fn hosts(config: &ProcessConfig, url: &str) -> anyhow::Result<HostPolicy> {
    let listener =
        if config.listen.ip().is_loopback() { Listener::Loopback } else { Listener::Public };
    let mut policy =
        HostPolicy::new(listener).with_public_url(url).context("`public_url` cannot be used")?;
    for host in &config.allowed_hosts {
        policy = policy.with_host(host).context("`allowed_hosts` holds no host name")?;
    }
    for origin in &config.allowed_origins {
        policy = policy.with_origin(origin).context("`allowed_origins` holds no web origin")?;
    }
    Ok(policy)
}

/// The gateway's own environment; hosted connectors get a few of these and no more.
#[expect(clippy::disallowed_methods, reason = "read once, at start")]
fn environment() -> BTreeMap<String, String> {
    std::env::vars().collect()
}
