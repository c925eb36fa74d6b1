//! Groups of people in Microsoft Entra ID that do not fit a token.
//!
//! With more than 200 groups a token only says that there are some; they are then asked for at
//! Microsoft Graph in the person's own name. Where to ask is known from the settings: what the
//! token says of it is not followed. A list that cannot be read whole is no list.

use http::{Method, header};
use openidconnect::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::Value;
use tidegate_wire::client::egress::Origin;

use super::{
    LoginRefused,
    claims::{Claims, ClaimsRefused, LOOKED_UP},
    provider::Reach,
};

/// The most pages that are asked for.
const PAGES: usize = 10;
/// What is a group among all that somebody may be a member of.
const GROUP: &str = "#microsoft.graph.group";

/// One page of Graph's answer.
#[derive(Deserialize)]
struct Page {
    value: Vec<Member>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Member {
    #[serde(rename = "@odata.type")]
    kind: Option<String>,
    id: String,
}

/// Whether there are more groups than the token names.
pub(super) fn is_over(claims: &Claims, groups: &str) -> bool {
    let named_elsewhere = claims.get("_claim_names").and_then(Value::as_object);
    named_elsewhere.is_some_and(|names| names.contains_key(groups))
        || claims.get("hasgroups").is_some_and(|has| *has == true || *has == "true")
}

/// All groups of the person whose access token this is.
pub(super) async fn groups(
    reach: &Reach,
    graph: &str,
    access_token: &str,
) -> Result<Vec<String>, LoginRefused> {
    let origin = Origin::split(graph).map(|(origin, _)| origin);
    let origin = origin.map_err(|_| LoginRefused::Untrusted("its directory has no address"))?;
    let base = graph.trim_end_matches('/');
    let mut url = format!("{base}/me/transitiveMemberOf?$select=id&$top=999");
    let mut groups = Vec::new();
    for _ in 0..PAGES {
        let page = page(reach, &url, access_token).await?;
        let found = page.value.into_iter().filter(|it| it.kind.as_deref() == Some(GROUP));
        groups.extend(found.map(|it| it.id));
        if groups.len() > LOOKED_UP {
            break;
        }
        let Some(next) = page.next else { return Ok(groups) };
        let same = Origin::split(&next).is_ok_and(|(of, _)| of == origin);
        if !same || !next.starts_with(base) {
            return Err(LoginRefused::Untrusted("its list of groups goes on elsewhere"));
        }
        url = next;
    }
    Err(ClaimsRefused::TooMany.into())
}

async fn page(reach: &Reach, url: &str, access_token: &str) -> Result<Page, LoginRefused> {
    let unread = LoginRefused::Untrusted("its list of groups cannot be read");
    let request = http::Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {access_token}"))
        .body(Vec::new());
    let Ok(request): Result<HttpRequest, _> = request else { return Err(unread) };
    let answer: HttpResponse = reach.exchange(request).await.map_err(|why| {
        tracing::warn!(%why, "the groups of somebody who signs in cannot be looked up");
        LoginRefused::Untrusted("its list of groups cannot be asked for")
    })?;
    if answer.status() != http::StatusCode::OK {
        tracing::warn!(status = answer.status().as_u16(), "Microsoft Graph refuses to list groups");
        return Err(LoginRefused::Untrusted("its list of groups is refused"));
    }
    serde_json::from_slice(answer.body()).map_err(|_| unread)
}
