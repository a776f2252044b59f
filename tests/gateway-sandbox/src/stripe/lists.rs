//! Lists: newest first, `limit` 1–100 (10), exclusive cursors, `created` bounds.

use super::{failure::Failure, form::Form, table::Row};
use serde_json::{Value, json};

/// Parameters every list takes.
pub const COMMON: &[&str] = &[
    "limit",
    "starting_after",
    "ending_before",
    "expand[]",
    "created",
    "created[gt]",
    "created[gte]",
    "created[lt]",
    "created[lte]",
];

/// Bounds on `created`, in Unix seconds.
fn within(form: &Form) -> Result<impl Fn(i64) -> bool, Failure> {
    let exact = form.integer("created")?;
    let bounds = form.nested("created");
    let (gt, gte) = (bounds.integer("gt")?, bounds.integer("gte")?);
    let (lt, lte) = (bounds.integer("lt")?, bounds.integer("lte")?);
    Ok(move |at: i64| {
        exact.is_none_or(|bound| at == bound)
            && gt.is_none_or(|bound| at > bound)
            && gte.is_none_or(|bound| at >= bound)
            && lt.is_none_or(|bound| at < bound)
            && lte.is_none_or(|bound| at <= bound)
    })
}

/// `limit`, within its bounds.
pub fn limit(form: &Form) -> Result<usize, Failure> {
    let limit = form.integer("limit")?.unwrap_or(10);
    match usize::try_from(limit) {
        Ok(limit @ 1..=100) => Ok(limit),
        _ => Err(Failure::invalid("limit", "Invalid integer: limit must be between 1 and 100.")),
    }
}

/// One page of `rows` (newest first), rendered.
pub fn page<'a, T: Row + 'a>(
    form: &Form,
    url: &str,
    rows: impl Iterator<Item = &'a T>,
    render: impl Fn(&T) -> Value,
) -> Result<Value, Failure> {
    let limit = limit(form)?;
    let within = within(form)?;
    let matching = rows.filter(|row| within(row.created()));
    let (data, has_more) = match (form.text("starting_after"), form.text("ending_before")) {
        (Some(_), Some(_)) => {
            return Err(Failure::request("You can only use one of starting_after and ending_before."));
        }
        (Some(after), None) => first(matching.skip_while(|row| row.id() != after).skip(1), limit),
        (None, None) => first(matching, limit),
        // The page that ends just before the cursor: the `limit` rows nearest to it.
        (None, Some(before)) => {
            let newer: Vec<&T> = matching.take_while(|row| row.id() != before).collect();
            let from = newer.len().saturating_sub(limit);
            (newer[from..].to_vec(), from > 0)
        }
    };
    let data: Vec<Value> = data.into_iter().map(render).collect();
    Ok(json!({ "object": "list", "url": url, "has_more": has_more, "data": data }))
}

fn first<'a, T>(mut rows: impl Iterator<Item = &'a T>, limit: usize) -> (Vec<&'a T>, bool) {
    let data: Vec<&T> = rows.by_ref().take(limit).collect();
    (data, rows.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stripe::{state::Customer, table::Table};

    fn ids(query: &str) -> (Vec<String>, bool) {
        let mut table = Table::default();
        for n in 1..=5 {
            table.insert(Customer { id: format!("cus_{n}"), created: n, ..Customer::default() });
        }
        let form = Form::parse(query).unwrap();
        let page = page(&form, "/v1/customers", table.newest(), |row| json!(row.id)).unwrap();
        let data = page["data"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        (data, page["has_more"] == true)
    }

    #[test]
    fn pages_are_newest_first_with_exclusive_cursors() {
        assert_eq!(ids("limit=2"), (vec!["cus_5".into(), "cus_4".into()], true));
        assert_eq!(ids("limit=2&starting_after=cus_2"), (vec!["cus_1".into()], false));
        assert_eq!(ids("limit=1&ending_before=cus_3"), (vec!["cus_4".into()], true));
        assert_eq!(ids("created[gte]=2&created[lt]=4"), (vec!["cus_3".into(), "cus_2".into()], false));
        assert!(limit(&Form::parse("limit=0").unwrap()).is_err());
        assert!(limit(&Form::parse("limit=101").unwrap()).is_err());
    }
}
