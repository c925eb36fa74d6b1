//! The OAuth 2.1 authorization server of one organisation.
//!
//! Owns clients, grants, codes and tokens, and every refusal that the RFCs ask for. Issues in
//! two steps, pending and issued, so that whoever serves can ask policy in between. Serves no
//! HTTP and decides no policy.

mod assertion;
pub mod client;
pub mod client_authentication;
mod code;
mod consent;
pub mod device;
mod document;
pub(crate) mod ended;
pub mod error;
mod exchange;
pub mod fetch;
mod follow;
pub mod grant;
mod introspection;
mod issue;
pub mod jwks;
mod location;
mod metadata;
mod overview;
mod parameters;
pub mod pending;
mod redeem;
pub mod redirect;
mod refresh;
pub mod registration;
pub mod request;
pub mod revocations;
mod rows;
pub(crate) mod signing;
pub(crate) mod spelling;
pub mod spent;
#[cfg(test)]
mod stand;
#[cfg(test)]
mod tests;
pub(crate) mod token;

use std::sync::{Arc, Mutex};

use model::Timestamp;
use tidegate_model as model;
use tidegate_store::Changes;

pub use consent::Consent;
pub use device::{DeviceReply, DeviceRequest};
pub use error::{AuthorizationError, ErrorCode, Incident, Replayed, RequestRefused, TokenRefused};
pub use grant::{Grant, GrantId, Origin};
pub use introspection::GivenUp;
pub use issue::TokenReply;
pub use location::Location;
pub use pending::{Form, Pending};
pub use request::{AuthorizationRequest, DenyReason};

use crate::{
    Ground, Scopes, Settings,
    directory::{Directory, Person},
    method::access_token::{self, AccessTokens},
};
use client::{Client, ClientError, Clients};
use client_authentication::{AuthenticationError, Challenge, Credentials, InvalidClient};
use code::CodeRow;
use grant::{GrantRow, Grants};
use jwks::KeySets;
use parameters::Parameters;
use pending::Asking;
use revocations::Revocations;
use rows::Rows;
use signing::SigningKeys;

/// What is known of how a person signed in to the browser that they answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInFacts {
    /// When they proved who they are.
    pub auth_time: Timestamp,
    /// How (RFC 8176), as far as it is known.
    pub amr: Vec<String>,
    /// The browser session, by a name that is no credential, so that what was granted in it
    /// can be ended with it.
    pub session: Option<String>,
}

/// The authorization server of one organisation. Everything it answers with is typed; whoever
/// serves makes pages, redirects and JSON of it, and records it.
#[derive(Debug)]
pub struct AuthorizationServer {
    ground: Ground,
    directory: Arc<Directory>,
    clients: Arc<Clients>,
    rows: Rows,
    grants: Grants,
    keys: Arc<SigningKeys>,
    tokens: AccessTokens,
    key_sets: KeySets,
    pace: device::Pace,
    /// Changes since it was opened, until somebody follows them.
    changes: Mutex<Option<Changes>>,
}

impl SignInFacts {
    /// The ways of signing in that are carried along: a provider may name any number.
    fn few_ways(&self) -> Vec<String> {
        self.amr.iter().filter(|way| way.len() <= 32).take(8).cloned().collect()
    }
}

impl AuthorizationServer {
    /// Reads signing keys and revocations; makes the first signing key of an organisation.
    /// What other processes change from then on is seen while somebody drives
    /// [`follow`](Self::follow).
    pub async fn open(
        ground: Ground,
        directory: Arc<Directory>,
        settings: Arc<Settings>,
    ) -> Result<Arc<Self>, AuthorizationError> {
        let changes = ground.store.watch();
        let rows = Rows::new(&ground);
        let keys = Arc::new(SigningKeys::open(rows.clone()).await?);
        let revocations = Arc::new(Revocations::new());
        revocations.load(&rows).await?;
        let tokens = AccessTokens::new(
            &ground,
            Arc::clone(&directory),
            Arc::clone(&keys),
            Arc::clone(&revocations),
            settings,
        )?;
        Ok(Arc::new(Self {
            clients: Clients::new(ground.clone()),
            grants: Grants { rows: rows.clone(), revocations },
            rows,
            keys,
            tokens,
            key_sets: KeySets::default(),
            pace: device::Pace::default(),
            changes: Mutex::new(Some(changes)),
            ground,
            directory,
        }))
    }

    /// Takes over which agents stand beside which clients: tokens of others end at once.
    pub fn settings_changed(&self, settings: Arc<Settings>) {
        self.tokens.settings_changed(settings);
    }

    /// The clients.
    pub fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// Judges access tokens, without reading the store.
    pub fn tokens(&self) -> &AccessTokens {
        &self.tokens
    }

    /// What was revoked lately.
    pub fn revocations(&self) -> &Revocations {
        &self.grants.revocations
    }

    /// The metadata document: RFC 8414 and OpenID Connect Discovery in one.
    pub fn metadata(&self, settings: &Settings) -> Vec<u8> {
        metadata::document(&self.ground.issuer, settings)
    }

    /// The public signing keys (a JWK set).
    pub fn jwks(&self) -> Vec<u8> {
        self.keys.jwks()
    }

    /// Puts a new signing key in use at once. Tokens signed before stay good.
    pub async fn rotate_signing_key(&self) -> Result<(), AuthorizationError> {
        self.keys.rotate().await
    }

    /// Puts a new signing key in use and forgets the others, which somebody else may have:
    /// tokens signed before are good no more.
    pub async fn replace_signing_keys(&self) -> Result<(), AuthorizationError> {
        self.keys.replace_all().await
    }

    /// Asks of an authorization request all that can be asked before anybody signs in. `query`
    /// holds its parameters, decoded, in the order in which they came.
    pub async fn check(
        &self,
        settings: &Settings,
        query: &[(String, String)],
    ) -> Result<AuthorizationRequest, RequestRefused> {
        let page = |sentence: &'static str| RequestRefused::Page(sentence.into());
        let parameters = Parameters::new(query);
        let id = parameters
            .get("client_id")
            .map_err(|_| page("The application (`client_id`) was named more than once."))?
            .ok_or_else(|| page("The application (`client_id`) is missing."))?;
        let client = self.clients.find(settings, id).await.map_err(|error| match error {
            ClientError::Unknown | ClientError::Unusable(_) => {
                RequestRefused::Page(format!("The application cannot be used: {error}.").into())
            }
            ClientError::Store(error) => {
                tracing::error!(%error, "a client could not be read");
                page("This is not possible at the moment. Try again.")
            }
        })?;
        let redirect = request::destination(&client, parameters)?;
        let issuer = &self.ground.issuer;
        request::Asked { issuer, client: &client, redirect, parameters }.read()
    }

    /// Whether this person agreed to all that this request asks for, and need not be asked.
    pub async fn is_consented(
        &self,
        who: &Person,
        request: &AuthorizationRequest,
    ) -> Result<bool, AuthorizationError> {
        if request.wants_consent {
            return Ok(false);
        }
        consent::is_given(&self.rows, &who.user.id, request).await
    }

    /// Sends the browser back with a code, for these of the rights that were asked for.
    /// `remember`: the person need not be asked for them again. That policy lets them connect
    /// has been asked by whoever serves, and is asked again before a token is issued.
    pub async fn approve(
        &self,
        who: &Person,
        at: SignInFacts,
        request: &AuthorizationRequest,
        granted: Scopes,
        remember: bool,
    ) -> Result<Location, AuthorizationError> {
        let now = self.ground.clock.now();
        let scopes = granted.both(request.scopes).with(request::base_of(&request.resource));
        if remember && consent::can_be_remembered(request) {
            let put = consent::remember(&self.rows, &who.user.id, request, scopes)?;
            self.rows.commit(vec![put]).await?;
        }
        let row = CodeRow {
            user: who.user.id.clone(),
            kind: who.user.kind,
            client: request.client_id.clone(),
            redirect_uri: request.redirect_uri.to_string(),
            resource: request.resource.clone(),
            scopes,
            challenge: request.challenge.clone(),
            authenticated: at.auth_time,
            amr: at.few_ways(),
            session: at.session,
            created: now,
            expires: code::end(now),
            used: None,
        };
        let code = code::make(&self.rows, &row).await?;
        Ok(request.granted(code.expose(), &self.ground.issuer))
    }

    /// Sends the browser back without one.
    pub fn deny(&self, request: &AuthorizationRequest, reason: DenyReason) -> Location {
        request.denied(reason, &self.ground.issuer)
    }

    /// The client that sent a form, once it has proven who it is.
    pub async fn authenticate(
        &self,
        settings: &Settings,
        form: Form<'_>,
    ) -> Result<Arc<Client>, TokenRefused> {
        let credentials = Credentials::read(form.authorization, form.fields);
        let credentials = credentials.map_err(invalid_client)?;
        match self.clients.authenticate(settings, &credentials).await {
            Ok(client) => Ok(client),
            Err(AuthenticationError::Invalid(invalid)) => Err(invalid_client(invalid)),
            Err(AuthenticationError::Store(error)) => Err(error.into()),
        }
    }

    /// What a request at the token endpoint would give, if policy lets its subject connect.
    pub async fn token(
        &self,
        settings: &Settings,
        form: Form<'_>,
    ) -> Result<Pending, TokenRefused> {
        let client = self.authenticate(settings, form).await?;
        let (parameters, now) = (form.parameters(), self.ground.clock.now());
        let asking =
            Asking { server: self, settings, client: Arc::clone(&client), parameters, now };
        let pending = asking.pending().await?;
        if let Err(error) = self.clients.used(settings, &client).await {
            tracing::warn!(%error, client = %client.id, "the use of a client was not noted");
        }
        Ok(pending)
    }

    /// Whether whoever granted this may come still.
    fn is_alive(&self, row: &GrantRow) -> bool {
        access_token::alive(&self.directory, &row.user, row.kind, row.created).is_some()
    }
}

fn invalid_client(invalid: InvalidClient) -> TokenRefused {
    tracing::info!(why = %invalid.why, "a client did not prove who it is");
    let sentence = "the client is not known, or did not prove who it is as it is registered to";
    TokenRefused {
        names_basic: invalid.challenge == Challenge::Basic,
        ..TokenRefused::new(ErrorCode::InvalidClient, sentence)
    }
}
