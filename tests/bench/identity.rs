//! Figures of identity, taken in this process through the crate's public interface, over the
//! store that a gateway has, on disk.
//!
//! Owns the judging of an access token, signing in to a client (browser session, code, token),
//! and both again among many grants. Passwords and pages are left out.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use tidegate_identity::{
    Ground, Issuer, Resource, Settings,
    authorization::{AuthorizationServer, Form, SignInFacts, TokenReply},
    directory::{Directory, Kind, User},
    login::{NewSession, Sessions},
    settings::RegisteredClient,
};
use tidegate_model::{Clock, OrgId, SystemClock, Timestamp, UserId, VmcpId};
use tidegate_store::{EmbeddedStore, FixedKeys, SledOptions, Store};
use tidegate_wire::client::egress::{Egress, Resolver};
use tokio::task::JoinSet;

use crate::{latency::Latencies, report::Report};

const REDIRECT: &str = "https://app.example/cb";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// People there are; they sign in by turns.
const PEOPLE: usize = 1_000;
/// People who sign in at once.
const AT_ONCE: usize = 16;
/// The same while the store is filled.
const FILLING: usize = 256;
/// Tokens judged together: one alone is near the resolution of the clock.
const BATCH: u32 = 100;

/// Adds every figure whose name begins with `identity_`. `dir` is emptied first.
pub(crate) fn measure(report: &mut Report, dir: &Path, quick: bool) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).context("the folder of an earlier run")?;
    }
    std::fs::create_dir_all(dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (sign_ins, grants) = if quick { (400, 2_000) } else { (2_000, 100_000) };
    runtime.block_on(async {
        let bench = Bench::open(dir).await?;
        println!("identity: {sign_ins} sign-ins, {AT_ONCE} at once");
        report.set("identity_sign_ins_per_s", bench.sign_ins(sign_ins, AT_ONCE).await?);
        report.set("identity_refresh_p50_us", bench.refreshes(200).await?.quantile_us(0.5));
        bench.judge(report, sign_ins).await?;
        println!("identity: the same among {grants} grants");
        bench.sign_ins(grants, FILLING).await?;
        report.set("identity_full_sign_ins_per_s", bench.sign_ins(sign_ins, AT_ONCE).await?);
        report.set("identity_full_refresh_p50_us", bench.refreshes(200).await?.quantile_us(0.5));
        Ok(())
    })
}

/// One organisation over a store on disk.
#[derive(Clone)]
struct Bench {
    server: Arc<AuthorizationServer>,
    sessions: Arc<Sessions>,
    directory: Arc<Directory>,
    settings: Arc<Settings>,
    resource: Resource,
    audience: String,
    people: Arc<[UserId]>,
    turn: Arc<AtomicUsize>,
}

impl Bench {
    async fn open(dir: &Path) -> Result<Self> {
        let org = OrgId::default_org();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let keys = Arc::new(FixedKeys::new([[7; 32]]));
        let store =
            EmbeddedStore::sled(SledOptions::new(dir.join("store")), keys, Arc::clone(&clock))?;
        store.ensure_org(&org).await?;
        let issuer = Issuer::new("https://mcp.example.com", org)?;
        let egress = Egress::new(Resolver::System, None)?;
        let ground = Ground { issuer, store: Arc::new(store), clock, egress };
        let client = RegisteredClient {
            redirect_uris: vec![REDIRECT.into()],
            ..RegisteredClient::default()
        };
        let clients = BTreeMap::from([("bench".to_owned(), client)]);
        let settings = Arc::new(Settings { clients, ..Settings::default() });
        let directory = Directory::open(&ground, &settings).await?;
        let created = Timestamp::from_millis(ground.clock.now().as_millis() - 1_000);
        let people = (0..PEOPLE).map(|nth| UserId::new(&format!("p{nth}@example.com")));
        let people: Arc<[UserId]> = people.collect::<Result<Vec<_>, _>>()?.into();
        for id in &*people {
            directory.add(User::new(id.clone(), Kind::Person, created)).await?;
        }
        let server = AuthorizationServer::open(
            ground.clone(),
            Arc::clone(&directory),
            Arc::clone(&settings),
        );
        let server = server.await?;
        let resource = Resource::Vmcp(VmcpId::new("sales")?);
        let audience = ground.issuer.audience(&resource);
        let sessions = Arc::new(Sessions::new(ground, Arc::clone(&directory)));
        let turn = Arc::default();
        Ok(Self { server, sessions, directory, settings, resource, audience, people, turn })
    }

    /// A browser session, a code and its tokens.
    async fn sign_in(&self) -> Result<TokenReply> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let user = self.people.get(turn % PEOPLE).context("the bench has people")?;
        let who = self.directory.user(user).context("the bench's own person")?;
        let now = SystemClock.now();
        let new = NewSession {
            user: user.clone(),
            link: None,
            sid: None,
            auth_time: now,
            amr: vec!["pwd".into()],
            id_token: None,
        };
        let opened = self.sessions.open(&self.settings, &who, new).await?;
        let session = Some(opened.session.id.as_str().to_owned());
        let query = pairs(&[
            ("response_type", "code"),
            ("client_id", "bench"),
            ("redirect_uri", REDIRECT),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", &self.audience),
            ("scope", "mcp"),
        ]);
        let request = self.server.check(&self.settings, &query).await;
        let request = request.map_err(|refused| anyhow!("refused: {refused:?}"))?;
        let at = SignInFacts { auth_time: now, amr: vec!["pwd".into()], session };
        let scopes = request.scopes;
        let location = self.server.approve(&who, at, &request, scopes, false).await?;
        let (_, query) = location.as_str().split_once("code=").context("no code")?;
        let code = query.split('&').next().unwrap_or_default();
        self.token(&[
            ("grant_type", "authorization_code"),
            ("client_id", "bench"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ])
        .await
    }

    async fn token(&self, form: &[(&str, &str)]) -> Result<TokenReply> {
        let fields = pairs(form);
        let form = Form { authorization: &[], fields: &fields };
        let pending = self.server.token(&self.settings, form).await;
        let pending = pending.map_err(|refused| anyhow!("refused: {refused:?}"))?;
        let issued = self.server.issue(pending).await;
        issued.map_err(|refused| anyhow!("refused: {refused:?}"))
    }

    /// How many sign-ins per second.
    async fn sign_ins(&self, count: usize, at_once: usize) -> Result<f64> {
        let start = Instant::now();
        let mut under_way = JoinSet::new();
        for nth in 0..at_once {
            let bench = self.clone();
            let own = count / at_once + usize::from(nth < count % at_once);
            under_way.spawn(async move {
                for _ in 0..own {
                    bench.sign_in().await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = under_way.join_next().await {
            ended??;
        }
        Ok(count as f64 / start.elapsed().as_secs_f64())
    }

    /// Times of refreshes, one after the other.
    async fn refreshes(&self, count: usize) -> Result<Latencies> {
        let mut latencies = Latencies::with_capacity(count);
        let mut reply = self.sign_in().await?;
        for _ in 0..count {
            let token = reply.refresh_token.context("no refresh token")?;
            let start = Instant::now();
            reply = self
                .token(&[
                    ("grant_type", "refresh_token"),
                    ("client_id", "bench"),
                    ("refresh_token", token.expose()),
                ])
                .await?;
            latencies.record(start.elapsed());
        }
        Ok(latencies)
    }

    /// What judging a token costs: one that was seen, and one that was not.
    async fn judge(&self, report: &mut Report, rounds: usize) -> Result<()> {
        let tokens = self.server.tokens();
        let mut first = Latencies::with_capacity(100);
        let mut seen = Vec::with_capacity(100);
        for _ in 0..100 {
            let token = self.sign_in().await?.access_token;
            let start = Instant::now();
            tokens.authenticate(token.expose(), &self.resource)?;
            first.record(start.elapsed());
            seen.push(token);
        }
        let mut again = Latencies::with_capacity(rounds);
        for (token, _) in seen.iter().cycle().zip(0..rounds) {
            let start = Instant::now();
            for _ in 0..BATCH {
                tokens.authenticate(std::hint::black_box(token.expose()), &self.resource)?;
            }
            again.record(start.elapsed() / BATCH);
        }
        report.set("identity_token_first_p50_us", first.quantile_us(0.5));
        report.set("identity_token_p50_us", again.quantile_us(0.5));
        // What is revoked counts for the next request, whatever was seen before.
        let token = self.sign_in().await?;
        tokens.authenticate(token.access_token.expose(), &self.resource)?;
        let start = Instant::now();
        self.server.revoke_grant(token.grant).await?;
        while tokens.authenticate(token.access_token.expose(), &self.resource).is_ok() {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        report.set("identity_revoked_ms", start.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
