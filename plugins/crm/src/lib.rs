//! A CRM for demonstrations: accounts, contacts and opportunities that are built in.
//!
//! Every call runs in a fresh instance, so what a tool changes is reported and forgotten.
//! The tools stand in `tools.json`, the data in `data.json`.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_plugin::{
    Connector, Context, Description, Failure,
    connector::{arguments, each, problem, structured},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Crm {
    region: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    accounts: Vec<Account>,
    contacts: Vec<Contact>,
    opportunities: Vec<Opportunity>,
}

#[derive(Deserialize, Serialize)]
struct Account {
    id: String,
    name: String,
    industry: String,
    region: String,
    owner: String,
    annual_revenue_eur: u64,
    billing_iban: Option<String>,
    health: String,
}

#[derive(Deserialize, Serialize)]
struct Contact {
    id: String,
    account: String,
    name: String,
    role: String,
    email: String,
    phone: String,
    card_on_file: Option<String>,
}

#[derive(Deserialize, Serialize, Clone)]
struct Opportunity {
    id: String,
    account: String,
    title: String,
    stage: String,
    amount_eur: u64,
    close_date: String,
}

#[derive(Deserialize)]
struct Search {
    query: String,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct ByAccount {
    account_id: String,
}

#[derive(Deserialize)]
struct ByStage {
    stage: Option<String>,
}

#[derive(Deserialize)]
struct Update {
    opportunity_id: String,
    stage: Option<String>,
    amount_eur: Option<u64>,
}

#[derive(Deserialize)]
struct Delete {
    contact_id: String,
}

impl Crm {
    /// What this connector's region lets it see.
    fn data(&self) -> Result<Data, Failure> {
        let mut data: Data = serde_json::from_str(include_str!("../data.json"))
            .map_err(|error| Failure::Failed(error.to_string()))?;
        if let Some(region) = &self.region {
            data.accounts.retain(|account| account.region == *region);
        }
        let seen: Vec<&str> = data.accounts.iter().map(|account| account.id.as_str()).collect();
        data.contacts.retain(|contact| seen.contains(&contact.account.as_str()));
        data.opportunities.retain(|opportunity| seen.contains(&opportunity.account.as_str()));
        Ok(data)
    }
}

impl Connector for Crm {
    const SCHEMA: &'static str = include_str!("../schema.json");

    fn configure(config: &str) -> Result<Self, String> {
        tidegate_plugin::read(config)
    }

    fn describe(&self) -> Description {
        Description {
            title: "CRM".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            instructions: Some("Accounts, contacts and opportunities of the sales team.".into()),
        }
    }

    fn tools(&self) -> Vec<String> {
        each(include_str!("../tools.json"))
    }

    fn call(&self, context: &Context, json: &str) -> Result<String, Failure> {
        let data = self.data()?;
        match context.target.as_str() {
            "search_contacts" => data.search(&arguments(json)?),
            "get_account" => data.account(&arguments(json)?),
            "list_opportunities" => data.opportunities(&arguments(json)?),
            "update_opportunity" => data.update(&arguments(json)?),
            "delete_contact" => data.delete(&arguments(json)?),
            _ => Err(Failure::Unknown),
        }
    }
}

impl Data {
    fn search(&self, search: &Search) -> Result<String, Failure> {
        let query = search.query.to_lowercase();
        let company = |id: &str| {
            self.accounts
                .iter()
                .find(|account| account.id == id)
                .map_or("", |account| &account.name)
        };
        let found: Vec<&Contact> = self
            .contacts
            .iter()
            .filter(|contact| {
                [&contact.name, &contact.role, &contact.email, company(&contact.account)]
                    .iter()
                    .any(|text| text.to_lowercase().contains(&query))
            })
            .collect();
        let total = found.len();
        let shown: Vec<_> = found.into_iter().take(search.limit.unwrap_or(10)).collect();
        structured(&json!({ "contacts": shown, "total": total }))
    }

    fn account(&self, by: &ByAccount) -> Result<String, Failure> {
        let Some(account) = self.accounts.iter().find(|account| account.id == by.account_id) else {
            return Ok(problem("No such account. Find one with search_contacts."));
        };
        let contacts: Vec<_> =
            self.contacts.iter().filter(|contact| contact.account == account.id).collect();
        let opportunities: Vec<_> =
            self.opportunities.iter().filter(|one| one.account == account.id).collect();
        structured(&json!({
            "account": account, "contacts": contacts, "opportunities": opportunities
        }))
    }

    fn opportunities(&self, by: &ByStage) -> Result<String, Failure> {
        let shown: Vec<_> = self
            .opportunities
            .iter()
            .filter(|one| by.stage.as_ref().is_none_or(|stage| one.stage == *stage))
            .collect();
        let total: u64 = shown.iter().map(|one| one.amount_eur).sum();
        structured(&json!({ "opportunities": shown, "total_eur": total }))
    }

    fn update(&self, update: &Update) -> Result<String, Failure> {
        let Some(before) = self.opportunities.iter().find(|one| one.id == update.opportunity_id)
        else {
            return Ok(problem("No such opportunity. List them with list_opportunities."));
        };
        let mut after = before.clone();
        if let Some(stage) = &update.stage {
            after.stage.clone_from(stage);
        }
        after.amount_eur = update.amount_eur.unwrap_or(after.amount_eur);
        structured(&json!({ "before": before, "after": after }))
    }

    fn delete(&self, delete: &Delete) -> Result<String, Failure> {
        match self.contacts.iter().find(|contact| contact.id == delete.contact_id) {
            Some(contact) => structured(&json!({ "deleted": contact.id })),
            None => Ok(problem("No such contact. Find one with search_contacts.")),
        }
    }
}

tidegate_plugin::export!(connector Crm);

#[cfg(test)]
mod tests;
