//! Contracts for demonstrations, built in. The tools stand in `tools.json`, the contracts in
//! `data.json`.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_plugin::{
    Connector, Context, Description, Failure,
    connector::{arguments, each, problem, structured},
    host,
};

struct Contracts;

#[derive(Deserialize, Serialize)]
struct Contract {
    id: String,
    account: String,
    title: String,
    status: String,
    start: String,
    end: String,
    value_eur: u64,
    #[serde(skip_serializing)]
    notice: String,
    parties: Vec<Party>,
    payment: String,
    clauses: Vec<Clause>,
}

#[derive(Deserialize, Serialize)]
struct Party {
    name: String,
    signatory: String,
    email: String,
}

#[derive(Deserialize, Serialize)]
struct Clause {
    number: String,
    title: String,
    text: String,
}

#[derive(Deserialize)]
struct Search {
    query: String,
    status: Option<String>,
}

#[derive(Deserialize)]
struct ById {
    contract_id: String,
}

const UNKNOWN: &str = "No such contract. Find one with search_contracts.";

fn contracts() -> Result<Vec<Contract>, Failure> {
    serde_json::from_str(include_str!("../data.json"))
        .map_err(|error| Failure::Failed(error.to_string()))
}

impl Connector for Contracts {
    fn configure(_config: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn describe(&self) -> Description {
        Description {
            title: "Contracts".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            instructions: Some("Signed and drafted contracts of our customers.".into()),
        }
    }

    fn tools(&self) -> Vec<String> {
        each(include_str!("../tools.json"))
    }

    fn call(&self, context: &Context, json: &str) -> Result<String, Failure> {
        match context.target.as_str() {
            "search_contracts" => search(&arguments(json)?),
            "get_contract" => with(&arguments(json)?, structured),
            "contract_summary" => with(&arguments(json)?, summary),
            _ => Err(Failure::Unknown),
        }
    }
}

fn search(search: &Search) -> Result<String, Failure> {
    let words: Vec<String> =
        search.query.to_lowercase().split_whitespace().map(Into::into).collect();
    let contracts = contracts()?;
    let found: Vec<_> = contracts
        .iter()
        .filter(|contract| search.status.as_ref().is_none_or(|status| contract.status == *status))
        .filter(|contract| {
            let clauses = contract.clauses.iter().map(|clause| clause.text.as_str());
            let text: String = clauses.chain([contract.title.as_str()]).collect();
            let text = text.to_lowercase();
            words.iter().all(|word| text.contains(word))
        })
        .map(|contract| {
            json!({
                "id": contract.id, "account": contract.account, "title": contract.title,
                "status": contract.status, "start": contract.start, "end": contract.end,
                "value_eur": contract.value_eur,
            })
        })
        .collect();
    structured(&json!({ "total": found.len(), "contracts": found }))
}

fn with(
    by: &ById,
    work: impl FnOnce(&Contract) -> Result<String, Failure>,
) -> Result<String, Failure> {
    match contracts()?.iter().find(|contract| contract.id == by.contract_id) {
        Some(contract) => work(contract),
        None => Ok(problem(UNKNOWN)),
    }
}

fn summary(contract: &Contract) -> Result<String, Failure> {
    let mut done = 0.0;
    let total = Some(f64::from(u32::try_from(contract.clauses.len()).unwrap_or(u32::MAX)));
    let mut titles = Vec::new();
    for clause in &contract.clauses {
        if host::cancelled() {
            return Ok(problem("Cancelled."));
        }
        done += 1.0;
        host::progress(done, total, Some(&format!("clause {}: {}", clause.number, clause.title)));
        titles.push(format!("{} ({})", clause.title.to_lowercase(), clause.number));
    }
    let summary = format!(
        "{} over EUR {}, {} to {}, {}. Signed by {}. Governs {}.",
        contract.title,
        contract.value_eur,
        contract.start,
        contract.end,
        contract.status,
        contract
            .parties
            .iter()
            .map(|party| party.signatory.as_str())
            .collect::<Vec<_>>()
            .join(" and "),
        titles.join(", "),
    );
    structured(&json!({
        "contract": contract.id, "summary": summary, "clauses": contract.clauses.len(),
        "notice": contract.notice,
    }))
}

tidegate_plugin::export!(connector Contracts);

#[cfg(test)]
mod tests;
