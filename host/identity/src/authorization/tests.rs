//! The authorization server through its facade: an organisation over a store in memory, a clock
//! that stands still until a test moves it.

use std::{collections::BTreeMap, time::Duration};

use model::{OrgId, Secret, UserId, VmcpId};
use sha2::{Digest as _, Sha256};
use tidegate_model as model;

use super::{
    stand::{SetClock, ground, no_egress},
    *,
};
use crate::{
    Issuer, Resource, Scope,
    directory::{Kind, User},
    settings::RegisteredClient,
};

mod assertions;
mod codes;
mod consents;
mod counting;
mod devices;
mod ending;
mod exchanging;
mod processes;
mod refreshing;
mod requests;
mod sessions;
mod signing_keys;
mod size;
mod tokens;

/// RFC 7636, appendix B.
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(super) const SECRET: &str = "a secret of 256 bits, as it were";
pub(super) const WEB: &str = "https://app.example/cb";
pub(super) const SALES: &str = "https://mcp.example.com/mcp/sales";
pub(super) const SUPPORT: &str = "https://mcp.example.com/mcp/support";
pub(super) const ADMIN: &str = "https://mcp.example.com/api/v1";

/// Fields of a form or query.
pub(super) type Fields = Vec<(String, String)>;

pub(super) fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The same fields with some set, taken away (`None`) or added once more (`+name`).
pub(super) fn edited(fields: &Fields, edits: &[(&str, Option<&str>)]) -> Fields {
    let mut fields = fields.clone();
    for (name, value) in edits {
        if let Some(again) = name.strip_prefix('+') {
            fields.push((again.to_owned(), value.unwrap_or_default().to_owned()));
            continue;
        }
        fields.retain(|(given, _)| given != name);
        fields.extend(value.map(|value| ((*name).to_owned(), value.to_owned())));
    }
    fields
}

pub(super) fn vmcp(name: &str) -> VmcpId {
    VmcpId::new(name).unwrap()
}

pub(super) fn client(redirects: &[&str], is_confidential: bool) -> RegisteredClient {
    RegisteredClient {
        redirect_uris: redirects.iter().map(|uri| (*uri).to_owned()).collect(),
        secret: is_confidential.then(|| Sha256::digest(SECRET.as_bytes()).into()),
        ..RegisteredClient::default()
    }
}

/// Two clients without a secret, one with, one that is an agent, one that exchanges.
pub(super) fn settings() -> Settings {
    let local = "http://127.0.0.1/cb";
    let agent = RegisteredClient {
        agent: Some(UserId::new("reporting-bot").unwrap()),
        groups: vec!["bots".into()],
        ..client(&[], true)
    };
    let exchanger =
        RegisteredClient { vmcps: vec![vmcp("support"), vmcp("sales")], ..client(&[], true) };
    let clients = BTreeMap::from([
        ("public".to_owned(), client(&[WEB, local], false)),
        ("other".to_owned(), client(&[WEB], false)),
        ("confidential".to_owned(), client(&[WEB], true)),
        ("agent".to_owned(), agent),
        ("exchanger".to_owned(), exchanger),
    ]);
    Settings { clients, ..Settings::default() }
}

pub(super) struct Bench {
    pub(super) clock: Arc<SetClock>,
    pub(super) ground: Ground,
    pub(super) directory: Arc<Directory>,
    pub(super) settings: Arc<Settings>,
    pub(super) server: Arc<AuthorizationServer>,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(super) async fn with(settings: Settings) -> Self {
        let clock = SetClock::new();
        let ground = ground(&clock, no_egress()).await;
        Self::on(clock, ground, settings).await
    }

    pub(super) async fn on(clock: Arc<SetClock>, ground: Ground, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let directory = Directory::open(&ground, &settings).await.unwrap();
        let server = AuthorizationServer::open(
            ground.clone(),
            Arc::clone(&directory),
            Arc::clone(&settings),
        );
        let server = server.await.unwrap();
        let bench = Self { clock, ground, directory, settings, server };
        if bench.directory.is_empty() {
            for (name, kind) in [("ann@acme.com", Kind::Person), ("ben@acme.com", Kind::Person)] {
                let id = UserId::new(name).unwrap();
                let mut user = User::new(id, kind, bench.ground.clock.now());
                user.email = Some(name.to_owned());
                bench.directory.add(user).await.unwrap();
            }
            // What is issued in the moment somebody is added could be their predecessor's.
            bench.clock.forward(Duration::from_millis(1));
        }
        bench
    }

    /// What a new process finds on the same store.
    pub(super) async fn restarted(&self) -> Self {
        let (clock, ground) = (Arc::clone(&self.clock), self.ground.clone());
        Self::on(clock, ground, (*self.settings).clone()).await
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.clock.forward(Duration::from_secs(seconds));
    }

    pub(super) fn person(&self, name: &str) -> Arc<Person> {
        self.directory.user(&UserId::new(name).unwrap()).unwrap()
    }

    pub(super) fn ann(&self) -> Arc<Person> {
        self.person("ann@acme.com")
    }

    pub(super) fn signed_in(&self) -> SignInFacts {
        let auth_time = self.ground.clock.now();
        SignInFacts { auth_time, amr: vec!["pwd".into()], session: Some("session 1".into()) }
    }

    /// A query of `client` for `resource` that nothing is wrong with.
    pub(super) fn query(client: &str, resource: &str) -> Fields {
        fields(&[
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", WEB),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", resource),
            ("scope", "mcp"),
            ("state", "st&te"),
        ])
    }

    pub(super) async fn request(&self, query: &Fields) -> AuthorizationRequest {
        self.server.check(&self.settings, query).await.unwrap()
    }

    /// A code that Ann let `client` have, after it asked with `query`.
    pub(super) async fn code_for(&self, query: &Fields) -> String {
        let request = self.request(query).await;
        let (who, scopes) = (self.ann(), request.scopes);
        let approved = self.server.approve(&who, self.signed_in(), &request, scopes, false);
        answer(&approved.await.unwrap()).remove("code").unwrap()
    }

    pub(super) async fn code(&self, client: &str, resource: &str) -> String {
        self.code_for(&Self::query(client, resource)).await
    }

    /// The form that redeems a code.
    pub(super) fn redeeming(client: &str, code: &str) -> Fields {
        let form = fields(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", WEB),
            ("code_verifier", VERIFIER),
        ]);
        Self::by(client, form)
    }

    pub(super) fn refreshing(client: &str, token: &Secret) -> Fields {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
        Self::by(client, fields(&form))
    }

    /// A form with what `client` proves itself with.
    pub(super) fn by(client: &str, form: Fields) -> Fields {
        let is_public = matches!(client, "public" | "other" | "tidegate-cli");
        let secret = if is_public { None } else { Some(SECRET) };
        edited(&form, &[("client_id", Some(client)), ("client_secret", secret)])
    }

    pub(super) async fn pending(&self, form: &Fields) -> Result<Pending, TokenRefused> {
        let form = Form { authorization: &[], fields: form };
        self.server.token(&self.settings, form).await
    }

    /// Both steps, with a policy that agrees.
    pub(super) async fn token(&self, form: &Fields) -> Result<TokenReply, TokenRefused> {
        let pending = self.pending(form).await?;
        self.server.issue(pending).await
    }

    /// Tokens that Ann let `client` have.
    pub(super) async fn tokens(&self, client: &str, resource: &str) -> TokenReply {
        let code = self.code(client, resource).await;
        self.token(&Self::redeeming(client, &code)).await.unwrap()
    }

    /// What becomes of an access token where it is presented.
    pub(super) fn at(
        &self,
        resource: &str,
        token: &Secret,
    ) -> Result<crate::Caller, access_token::AccessRefused> {
        let resource = self.ground.issuer.resource(resource).unwrap();
        self.server.tokens().authenticate(token.expose(), &resource)
    }
}

/// The parameters of an answer that the browser takes back.
pub(super) fn answer(location: &Location) -> BTreeMap<String, String> {
    let (_, query) = location.as_str().split_once('?').unwrap();
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// The error code of a refusal.
pub(super) fn code_of<T: std::fmt::Debug>(got: &Result<T, TokenRefused>) -> &'static str {
    got.as_ref().map_or_else(|refused| refused.code.name(), |_| "issued")
}

pub(super) async fn other_org(ground: &Ground) -> Ground {
    let org = OrgId::new("acme").unwrap();
    ground.store.ensure_org(&org).await.unwrap();
    let issuer = Issuer::new("https://mcp.example.com", org).unwrap();
    Ground { issuer, ..ground.clone() }
}
