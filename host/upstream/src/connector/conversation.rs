//! One call of one server, from the first request to the answer that counts.
//!
//! Sends the operation; asks a legacy client what a modern server wants to know and goes on
//! with the answers; makes mirrored headers anew, once, where the server says that they do
//! not fit. Nothing else is ever sent twice.

use http::{HeaderName, HeaderValue};
use tidegate_model::{Answer, Given, Operation};
use tidegate_wire::{
    client::{Outgoing, Peer, PeerError, peer::Fault},
    json::Raw,
    mcp::{
        Era,
        splice::{self, Edit},
    },
};
use tokio::sync::watch;

use super::{
    ConnectorError,
    input::{self, Needed},
    list::Source,
    operation::{self, Request},
};

/// Carries the call of `request` out at the server of `source`. `stale` is ticked when the
/// server shows that its list of tools is another one by now.
///
/// An `input_required` of a modern server is the answer where the client can read it; else
/// its questions are asked over the exchange, and each round is a request of the same call.
pub(super) async fn carry_out(
    source: Source<'_>,
    request: &Request<'_>,
    stale: &watch::Sender<u64>,
) -> Result<Answer, ConnectorError> {
    let (exchange, operation) = (request.exchange(), &request.call().operation);
    let info = source.peer.info();
    let params = request.params(info.as_deref());
    let mut headers = first_headers(source, operation);
    let mut given: Option<Given> = None;
    for _ in 0..=input::ROUNDS {
        let mut outgoing = request.outgoing(&params, &headers);
        outgoing.given = given.as_ref().or(outgoing.given);
        let answer = match source.peer.request(&outgoing).await {
            // Refused before anything was done, and before a person was asked.
            Err(PeerError::HeaderMismatch(error)) if given.is_none() => {
                stale.send_modify(|count| *count += 1);
                let Some(fresh) = fresh_headers(source, operation).await? else {
                    return Err(PeerError::HeaderMismatch(error).into());
                };
                headers = fresh;
                let outgoing = Outgoing { headers: &headers, ..request.outgoing(&params, &[]) };
                source.peer.request(&outgoing).await?
            }
            answer => answer?,
        };
        let Some(needed) = needed(source, operation, &answer)? else {
            return Ok(untyped(source, answer));
        };
        if exchange.relays_input {
            return Ok(answer);
        }
        given = match needed.ask(exchange).await {
            Ok(given) => Some(given),
            Err(unanswered) => {
                return Ok(unanswered.answer(matches!(operation, Operation::CallTool(_))));
            }
        };
    }
    let why = format!("it asked for input more than {} times", input::ROUNDS);
    Err(misled(operation, why))
}

/// What the server wants to know first, if that is what its answer says.
fn needed(
    source: Source<'_>,
    operation: &Operation,
    answer: &Answer,
) -> Result<Option<Needed>, ConnectorError> {
    let Answer::Result(result) = answer else { return Ok(None) };
    if !is_modern(source) || !input::is_asked_for(answer) {
        return Ok(None);
    }
    match operation {
        Operation::CallTool(_) | Operation::GetPrompt(_) | Operation::ReadResource(_) => {
            Needed::read(result).map(Some).map_err(|why| misled(operation, why))
        }
        // SEP-2322 names the three; nobody expects it of others.
        Operation::Complete(_) | Operation::Task(_) => {
            Err(misled(operation, "it asked for input where none can be given".to_owned()))
        }
    }
}

fn is_modern(source: Source<'_>) -> bool {
    source.peer.info().is_some_and(|info| info.revision.era() == Era::Modern)
}

/// The answer without the `resultType` of a server in whose era the word means nothing, so
/// that nobody takes it for what a modern server says.
fn untyped(source: Source<'_>, answer: Answer) -> Answer {
    const TYPE: &str = "resultType";
    let Answer::Result(result) = &answer else { return answer };
    let raw = Raw::from(result);
    if is_modern(source) || !raw.may_say(TYPE) || raw.get(TYPE).is_none() {
        return answer;
    }
    splice::object(raw, &[Edit::remove(TYPE)]).map_or(answer, Answer::Result)
}

fn misled(operation: &Operation, why: String) -> ConnectorError {
    PeerError::from(Fault::Result { method: operation.method(), why }).into()
}

/// The credential, and the arguments that the tool wants mirrored where there are headers.
fn first_headers(source: Source<'_>, operation: &Operation) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = source.headers.to_vec();
    if let (Peer::Http(_), Operation::CallTool(call)) = (source.peer, operation) {
        headers.extend(operation::mirrored_arguments(&call.tool, &call.arguments));
    }
    headers
}

/// The headers as the tool's definition of this moment wants them; none where it wants the
/// same as before.
async fn fresh_headers(
    source: Source<'_>,
    operation: &Operation,
) -> Result<Option<Vec<(HeaderName, HeaderValue)>>, ConnectorError> {
    let Operation::CallTool(call) = operation else { return Ok(None) };
    let Some(now) = source.again(&call.tool).await? else { return Ok(None) };
    if now.input_schema == call.tool.input_schema {
        return Ok(None);
    }
    let mut headers = source.headers.to_vec();
    headers.extend(operation::mirrored_arguments(&now, &call.arguments));
    Ok(Some(headers))
}
