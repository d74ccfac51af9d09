//! The environment, put over the file: one name for both.

use toml::{Table, Value};

use super::Config;

const PREFIX: &str = "DOORSTEP_";
/// Tables of tables: the name of the inner one is a part of its own.
const NESTED: &str = "providers";

/// Puts what is meant for us over a file's table.
pub(super) fn put_over(table: &mut Table, environment: &[(String, String)]) -> Result<(), String> {
    for (name, value) in environment {
        if let Some(path) = name.strip_prefix(PREFIX) {
            put(table, name, path, value)?;
        } else if name == "DATABASE_URL" && !value.is_empty() {
            let section = section(table, name, "database")?;
            section.entry("url").or_insert_with(|| Value::String(value.clone()));
        }
    }
    Ok(())
}

/// `DOORSTEP_SERVER_PUBLIC_URL` is `[server] public_url`: the table's name ends at the first `_`, and so does a
/// provider's: `DOORSTEP_PROVIDERS_GOOGLE_CLIENT_ID` is `[providers.google] client_id`.
fn put(table: &mut Table, name: &str, path: &str, value: &str) -> Result<(), String> {
    let path = path.to_ascii_lowercase();
    let (first, rest) =
        path.split_once('_').ok_or_else(|| format!("{name} is unknown: expected {PREFIX}SECTION_KEY"))?;
    let mut tables = vec![first];
    let mut key = rest;
    if first == NESTED {
        let (inner, rest) =
            rest.split_once('_').ok_or_else(|| format!("{name} is unknown: expected {PREFIX}PROVIDERS_NAME_KEY"))?;
        tables.push(inner);
        key = rest;
    }
    let good = read_value(&tables, key, value).map_err(|why| {
        // what may be a secret is not repeated
        let shown = if ["secret", "url"].iter().any(|word| key.contains(word)) { "…" } else { value };
        format!("{name} = {shown:?} is refused: {why}")
    })?;
    let mut inner = table;
    for part in &tables {
        inner = section(inner, name, part)?;
    }
    inner.insert(key.to_owned(), good);
    Ok(())
}

/// What a value means where it is put: as it is written in the file, as text, or as a list divided by commas.
fn read_value(tables: &[&str], key: &str, value: &str) -> Result<Value, String> {
    // what is wrong with it is said by the name it came by
    let alone = |value: Value| {
        let inner = Table::from_iter([(key.to_owned(), value)]);
        let whole = tables
            .iter()
            .rev()
            .fold(inner, |inner, name| Table::from_iter([((*name).to_owned(), Value::Table(inner))]));
        Value::Table(whole).try_into::<Config>()
    };
    let one = parse_value(value);
    let text = Value::String(value.to_owned());
    let list = Value::Array(value.split(',').map(|item| Value::String(item.trim().to_owned())).collect());
    match (alone(one.clone()), alone(list.clone())) {
        (Ok(_), _) => Ok(one),
        // an id is text, also where it looks like a number
        (Err(_), _) if alone(text.clone()).is_ok() => Ok(text),
        (Err(_), Ok(_)) => Ok(list),
        (Err(error), Err(of_list)) => {
            let why = if error.message().contains("a sequence") { of_list } else { error };
            Err(why.message().to_owned())
        }
    }
}

fn section<'t>(table: &'t mut Table, name: &str, section: &str) -> Result<&'t mut Table, String> {
    table
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()))
        .as_table_mut()
        .ok_or_else(|| format!("{name}: [{section}] is not a table in the file"))
}

/// Numbers, booleans and lists are written as in the file; everything else is text.
fn parse_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    match parsed {
        Some(value @ (Value::Integer(_) | Value::Boolean(_) | Value::Array(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}
