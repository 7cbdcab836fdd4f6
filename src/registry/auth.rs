//! Proving who we are: Basic, and tokens from a token server (distribution's token authentication specification).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Client, Method, Request, Response, Secret, StatusCode, Url};
use serde::Deserialize;
use tracing::debug;

use crate::answer::{named, refusal};
use crate::challenge::{self, Bearer, Challenge};
use crate::credentials::basic;
use crate::endpoint::Access;
use crate::{Credentials, Login, RegistryError};

/// Bytes in the largest answer read from a token server.
const MAX_TOKEN: usize = 256 << 10;

/// What a token server's answer means that does not say how long its token lives (the specification's number).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// A token this close to its end is not used any more.
const MARGIN: Duration = Duration::from_secs(15);

/// What is known about one registry's wishes, and the tokens got for it.
#[derive(Debug)]
pub(crate) struct Auth {
    client: Client,
    registry: String,
    base: Url,
    credentials: Arc<Credentials>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    wish: Wish,
    /// By the scopes they were got for.
    tokens: BTreeMap<BTreeSet<String>, Token>,
}

#[derive(Clone, Debug, Default)]
enum Wish {
    /// It never asked.
    #[default]
    Nothing,
    Basic,
    Bearer {
        realm: Url,
        service: Option<String>,
    },
}

#[derive(Debug)]
struct Token {
    header: Secret,
    fetched: Instant,
    lifetime: Duration,
}

/// The value of an `Authorization` header.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) header: Secret,
}

impl Auth {
    pub(crate) fn new(client: Client, registry: &str, base: Url, credentials: Arc<Credentials>) -> Self {
        Self { client, registry: registry.to_owned(), base, credentials, state: Mutex::default() }
    }

    /// What to show without having been asked, because the registry asked before.
    pub(crate) fn known(&self, access: &Access) -> Result<Option<Proof>, RegistryError> {
        let mut state = self.lock();
        match state.wish.clone() {
            Wish::Nothing => Ok(None),
            // Registries that want a password for some things give others away.
            Wish::Basic if self.login(access)?.is_none() => Ok(None),
            Wish::Basic => self.password(access).map(Some),
            Wish::Bearer { .. } => {
                let scopes = access.scopes.iter().cloned().collect();
                self.token(&mut state, scopes, access).map(Some)
            }
        }
    }

    /// What to show after `response`, which is a 401 of the registry itself to a request that showed `shown`.
    pub(crate) fn answer(
        &self,
        response: &Response,
        shown: Option<&HeaderValue>,
        access: &Access,
    ) -> Result<Proof, RegistryError> {
        let challenges = challenges(response);
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer(bearer) => Some(bearer),
            Challenge::Basic | Challenge::Other(_) => None,
        });
        let mut state = self.lock();
        if let Some(bearer) = bearer {
            let wanted: BTreeSet<String> = access.scopes.iter().chain(&bearer.scopes).cloned().collect();
            state.wish = self.wish(bearer, access)?;
            state.tokens.retain(|_, token| !token.was_shown(shown));
            // Another thread may have got one meanwhile.
            let usual = access.scopes.iter().cloned().collect();
            if let Some(token) = state.tokens.get(&usual).filter(|token| token.is_fresh()) {
                return Ok(Proof { header: token.header.clone() });
            }
            // What was refused may be refused for others too, as when the registry got a new key: no other old token.
            return match shown {
                Some(_) => self.fetch(&mut state, wanted, access),
                None => self.token(&mut state, wanted, access),
            };
        }
        if challenges.contains(&Challenge::Basic) {
            state.wish = Wish::Basic;
            return self.password(access);
        }
        Err(RegistryError::Unauthorized { image: access.image.to_string(), had_credentials: false })
    }

    /// The error for a 401 to what [`Auth::answer`] gave.
    pub(crate) fn refused(&self, response: &Response, access: &Access) -> RegistryError {
        let image = access.image.to_string();
        let had_credentials = matches!(self.login(access), Ok(Some(_)));
        let is_scope = challenges(response).iter().any(|challenge| match challenge {
            Challenge::Bearer(bearer) => bearer.error.as_deref() == Some("insufficient_scope"),
            Challenge::Basic | Challenge::Other(_) => false,
        });
        if had_credentials && is_scope {
            let message = format!("the account may not do this ({})", access.scopes.join(" "));
            return RegistryError::Denied { image, message };
        }
        RegistryError::Unauthorized { image, had_credentials }
    }

    fn wish(&self, bearer: &Bearer, access: &Access) -> Result<Wish, RegistryError> {
        let unusable = |why| RegistryError::BadAnswer {
            image: access.image.to_string(),
            request: format!("requests to {}", self.registry),
            why,
        };
        let realm = Url::parse(&bearer.realm).map_err(|_| unusable("the token server it names is not a URL"))?;
        match (self.base.scheme(), realm.scheme()) {
            (_, "https") | ("http", "http") => Ok(Wish::Bearer { realm, service: bearer.service.clone() }),
            (_, _) => Err(unusable("it names a token server without TLS, which must not see credentials")),
        }
    }

    fn login(&self, access: &Access) -> Result<Option<Login>, RegistryError> {
        self.credentials
            .find(&self.registry, access.image.repository())
            .map_err(|source| RegistryError::Credentials { image: access.image.to_string(), source })
    }

    fn password(&self, access: &Access) -> Result<Proof, RegistryError> {
        match self.login(access)? {
            Some(Login::Password { user, password }) => Ok(Proof { header: basic(&user, &password) }),
            Some(Login::Registry(token)) => Ok(Proof { header: bearer_header(token.reveal()) }),
            Some(Login::Identity(_)) | None => {
                Err(RegistryError::Unauthorized { image: access.image.to_string(), had_credentials: false })
            }
        }
    }

    /// A token with `scopes`, from the cache if it has one. The state stays locked meanwhile, so that several threads
    /// with the same wish cause one request.
    fn token(&self, state: &mut State, scopes: BTreeSet<String>, access: &Access) -> Result<Proof, RegistryError> {
        if let Some((_, token)) = state.tokens.iter().find(|(had, token)| covers(had, &scopes) && token.is_fresh()) {
            return Ok(Proof { header: token.header.clone() });
        }
        self.fetch(state, scopes, access)
    }

    fn fetch(&self, state: &mut State, scopes: BTreeSet<String>, access: &Access) -> Result<Proof, RegistryError> {
        let Wish::Bearer { realm, service } = &state.wish else { return self.password(access) };
        let login = self.login(access)?;
        if let Some(Login::Registry(token)) = login {
            return Ok(Proof { header: bearer_header(token.reveal()) });
        }
        debug!(registry = self.registry, ?scopes, realm = http::shown(realm), "asking for a token");
        let unsendable = |error| access.unreachable(error);
        let request = token_request(realm, service.as_deref(), &scopes, login.as_ref()).map_err(unsendable)?;
        let response = self.client.send_retrying(&request).map_err(unsendable)?;
        let token = read_token(response, &request, login.is_some(), access)?;
        let header = token.header.clone();
        // The next request comes with its usual scopes, not with those the challenge added.
        state.tokens.insert(access.scopes.iter().cloned().collect(), token);
        Ok(Proof { header })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    fn was_shown(&self, shown: Option<&HeaderValue>) -> bool {
        shown.is_some_and(|shown| shown.as_bytes() == self.header.reveal().as_bytes())
    }

    fn is_fresh(&self) -> bool {
        // The monotonic clock: it decides when to ask again, and never reaches an image.
        self.fetched.elapsed() + MARGIN < self.lifetime
    }
}

/// Whether a token with the scopes `had` will do where `wanted` is asked for: one to push also pulls.
fn covers(had: &BTreeSet<String>, wanted: &BTreeSet<String>) -> bool {
    let is_had = |wanted: &String| {
        had.iter()
            .any(|had| had.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(',')))
    };
    wanted.iter().all(is_had)
}

fn challenges(response: &Response) -> Vec<Challenge> {
    let fields = response.headers().get_all(WWW_AUTHENTICATE).iter();
    fields.filter_map(|field| field.to_str().ok()).flat_map(challenge::parse).collect()
}

fn bearer_header(token: &str) -> Secret {
    Secret::new(format!("Bearer {token}"))
}

/// GET with a password or nothing; POST with an identity token, which goes into the body and not into the URL.
fn token_request(
    realm: &Url,
    service: Option<&str>,
    scopes: &BTreeSet<String>,
    login: Option<&Login>,
) -> Result<Request, http::HttpError> {
    let service = service.map(|service| ("service", service));
    let mut url = realm.clone();
    if let Some(Login::Identity(token)) = login {
        let scopes = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let grant = [("grant_type", "refresh_token"), ("client_id", "stratum"), ("scope", &scopes)];
        let mut form = realm.clone();
        form.set_query(None);
        form.query_pairs_mut().extend_pairs(grant).extend_pairs(service).append_pair("refresh_token", token.reveal());
        let body = form.query().unwrap_or_default().to_owned();
        let request = Request::new(Method::POST, url).body(body);
        return request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let scopes = scopes.iter().map(|scope| ("scope", scope.as_str()));
    url.query_pairs_mut().extend_pairs(service).extend_pairs(scopes).append_pair("client_id", "stratum");
    if let Some(Login::Password { user, .. }) = login {
        url.query_pairs_mut().append_pair("account", user);
    }
    let request = Request::new(Method::GET, url).header(ACCEPT, "application/json")?;
    match login {
        Some(Login::Password { user, password }) => request.secret_header(AUTHORIZATION, &basic(user, password)),
        Some(Login::Identity(_) | Login::Registry(_)) | None => Ok(request),
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn read_token(
    response: Response,
    request: &Request,
    had_credentials: bool,
    access: &Access,
) -> Result<Token, RegistryError> {
    let image = access.image.to_string();
    let status = response.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(RegistryError::Unauthorized { image, had_credentials });
    }
    if !status.is_success() {
        return Err(refusal(image, &named(request), response));
    }
    let bytes = response.bytes(MAX_TOKEN).map_err(|error| access.unreachable(error))?;
    let unusable = |why| RegistryError::BadAnswer { image: image.clone(), request: named(request), why };
    let answer: TokenAnswer =
        serde_json::from_slice(&bytes).map_err(|_| unusable("the token server did not send a token in JSON"))?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| unusable("the token server's answer holds no token"))?;
    let lifetime = answer.expires_in.map_or(DEFAULT_LIFETIME, Duration::from_secs).max(DEFAULT_LIFETIME);
    Ok(Token { header: bearer_header(&token), fetched: Instant::now(), lifetime })
}
