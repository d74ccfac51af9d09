//! What a value may be, who sees it, and what becomes of it.

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;

fn field(n: u128, kind: FieldType, visible_to: VisibleTo) -> CustomField {
    let at = Timestamp::from_micros(0);
    let choices = if kind == FieldType::Choice { vec!["S".to_owned(), "M".to_owned()] } else { Vec::new() };
    let (id, key) = (CustomFieldId(Uuid::from_u128(n)), format!("f{n}"));
    CustomField { id, title: key.clone(), key, kind, choices, visible_to, created_at: at, updated_at: at }
}

/// One of each kind of visibility: `f1` the desk's, `f2` read, `f3` edited by customers.
fn fields(kind: FieldType) -> CustomFields {
    let all = (1..).zip(VisibleTo::ALL).map(|(n, visible_to)| field(n, kind, *visible_to)).collect();
    CustomFields { version: 1, all }
}

fn codes(result: Result<Changed>) -> Vec<(String, &'static str)> {
    match result {
        Ok(_) => Vec::new(),
        Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect(),
        Err(other) => panic!("{other}"),
    }
}

fn tries(fields: &CustomFields, by: Editor, change: &[(&str, Value)]) -> Vec<(String, &'static str)> {
    let change = change.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    codes(CustomValues::default().change(fields, &change, by))
}

#[test]
fn a_value_is_of_its_type() {
    let good: [(FieldType, &[Value]); 5] = [
        (FieldType::Text, &[json!("x"), json!("two\nlines"), json!("ä".repeat(1000)), json!("<b>")]),
        (FieldType::Number, &[json!(0), json!(-1.5), json!(1e15), json!(-1_000_000_000_000_000_i64)]),
        (FieldType::Boolean, &[json!(true), json!(false)]),
        (FieldType::Date, &[json!("2024-02-29"), json!("0001-01-01"), json!("9999-12-31")]),
        (FieldType::Choice, &[json!("S"), json!("M")]),
    ];
    for (kind, values) in good {
        for value in values.iter().chain(&[Value::Null]) {
            assert_eq!(tries(&fields(kind), Editor::Desk, &[("f1", value.clone())]), [], "{kind} {value}");
        }
    }
    let bad: [(FieldType, &str, &[Value]); 13] = [
        (FieldType::Text, "wrong_type", &[json!(1), json!(true), json!(["x"]), json!({ "x": 1 })]),
        (FieldType::Text, "invalid_length", &[json!(""), json!("ä".repeat(1001))]),
        (FieldType::Text, "control_characters", &[json!("a\tb"), json!("a\rb"), json!("\u{1b}[31m"), json!("\u{85}")]),
        (FieldType::Number, "wrong_type", &[json!("1"), json!(false), json!([])]),
        (FieldType::Number, "out_of_range", &[json!(1e16), json!(-1e300), json!(u64::MAX), json!(i64::MIN)]),
        (FieldType::Boolean, "wrong_type", &[json!("true"), json!(1)]),
        (FieldType::Date, "wrong_type", &[json!(20_260_131)]),
        (FieldType::Date, "invalid", &[json!("2026-02-29"), json!("2026-1-31"), json!("31.1.2026"), json!("")]),
        (FieldType::Date, "invalid", &[json!("2026-01-31T00:00:00Z"), json!("+2026-01-3"), json!("2026-01- 1")]),
        (FieldType::Date, "invalid", &[json!("10000-01-01"), json!("-001-01-01"), json!("२०२६-०१-०१")]),
        (FieldType::Choice, "not_one_of", &[json!("L"), json!("s"), json!("")]),
        (FieldType::Choice, "wrong_type", &[json!(0), json!(["S"])]),
        (FieldType::Boolean, "wrong_type", &[json!({})]),
    ];
    for (kind, code, values) in bad {
        for value in values {
            let refused = tries(&fields(kind), Editor::Desk, &[("f1", value.clone())]);
            assert_eq!(refused, [("/custom/f1".to_owned(), code)], "{kind} {value}");
        }
    }
}

#[test]
fn a_customer_cannot_tell_a_field_of_the_desk_from_none() {
    let fields = fields(FieldType::Text);
    for value in [json!("x"), json!(""), json!(7), Value::Null] {
        let rows = ["f1", "f4"].map(|key| tries(&fields, Editor::Customer, &[(key, value.clone())]));
        assert_eq!(rows[0], [("/custom/f1".to_owned(), "unknown_field")]);
        assert_eq!(rows[1], [("/custom/f4".to_owned(), "unknown_field")]);
        let read = tries(&fields, Editor::Customer, &[("f2", value.clone())]);
        assert_eq!(read, [("/custom/f2".to_owned(), "read_only")]);
    }
    assert_eq!(tries(&fields, Editor::Customer, &[("f3", json!("x"))]), []);
    let twice = tries(&fields, Editor::Customer, &[("f1", json!("x")), ("f3", json!("x")), ("f3", json!("y"))]);
    assert_eq!(twice, [("/custom/f1".into(), "unknown_field"), ("/custom/f3".into(), "duplicate_field")]);
    let odd = tries(&fields, Editor::Customer, &[("a/b~", json!("x"))]);
    assert_eq!(odd, [("/custom/a~1b~0".into(), "unknown_field")]);
}

#[test]
fn a_value_that_is_withheld_is_the_desks_until_it_is_said_again() {
    let fields = fields(FieldType::Text);
    let mut values = CustomValues::default();
    let change: ValueChange = ["f1", "f2", "f3"].map(|key| (key.to_owned(), json!(key))).into();
    let changed = values.change(&fields, &change, Editor::Desk).unwrap();
    assert_eq!((changed.keys.len(), changed.shown), (3, true));
    assert_eq!(values.change(&fields, &change, Editor::Desk).unwrap(), Changed::default());
    assert_eq!(json!(values.for_customer(&fields)), json!({ "f2": "f2", "f3": "f3" }));
    values.withhold_all();
    let stored: CustomValues = serde_json::from_value(json!(values)).unwrap();
    assert_eq!(stored, values, "as it is stored");
    assert_eq!(json!(values.for_customer(&fields)), json!({ "f2": null, "f3": null }));
    assert_eq!(json!(values.for_desk(&fields)), json!({ "f1": "f1", "f2": "f2", "f3": "f3" }));
    assert_eq!(values.withheld(&fields), ["f2", "f3"]);
    values.withhold_all();
    assert_eq!(stored, values, "it is withheld once");
    let cleared = values.change(&fields, &vec![("f3".to_owned(), Value::Null)], Editor::Customer).unwrap();
    assert_eq!((cleared, &values), (Changed::default(), &stored), "to a customer it was null before");
    let again = values.change(&fields, &vec![("f2".to_owned(), json!("f2"))], Editor::Desk).unwrap();
    assert_eq!(again, Changed { keys: vec!["f2".to_owned()], shown: true });
    assert_eq!(json!(values.for_customer(&fields)), json!({ "f2": "f2", "f3": null }));
    assert_eq!(values.withheld(&fields), ["f3"]);
}

#[test]
fn gaps_are_filled_and_what_is_left_of_no_field_goes() {
    let fields = fields(FieldType::Text);
    let some = |key: &str, value: &str| {
        let mut values = CustomValues::default();
        values.change(&fields, &vec![(key.to_owned(), json!(value))], Editor::Desk).unwrap();
        values
    };
    let (mut mine, mut other) = (some("f2", "mine"), some("f2", "other"));
    other.fill_gaps(&some("f3", "more"), &fields);
    other.withhold_all();
    mine.fill_gaps(&other, &fields);
    assert_eq!(json!(mine.for_desk(&fields)), json!({ "f1": null, "f2": "mine", "f3": "more" }));
    assert_eq!(json!(mine.for_customer(&fields)), json!({ "f2": "mine", "f3": null }), "withheld stays withheld");
    let left = CustomFields { version: 2, all: fields.all[..1].to_vec() };
    let mut none = CustomValues::default();
    none.fill_gaps(&mine, &left);
    assert!(none.is_empty());
    assert_eq!(mine.change(&left, &Vec::new(), Editor::Desk).unwrap(), Changed::default());
    assert!(mine.is_empty());
}

proptest! {
    /// What is kept is as near as 15 digits are, and stays so however often it is written and read.
    #[test]
    fn a_number_is_kept_as_it_is(value in -1e15_f64..1e15, shift in 0..20_i32) {
        let value = value / 10_f64.powi(shift);
        let kept = a_number(&Number::from_f64(value).unwrap()).unwrap();
        let off = (kept.as_f64().unwrap() - value).abs();
        prop_assert!(off <= 1e-9_f64.max(value.abs() * 1e-14), "{} for {}", kept, value);
        prop_assert_eq!(a_number(&kept).unwrap(), kept.clone());
        let text = serde_json::to_string(&FieldValue::Number(kept.clone())).unwrap();
        prop_assert_eq!(serde_json::from_str::<FieldValue>(&text).unwrap(), FieldValue::Number(kept));
    }
}

#[test]
fn a_whole_number_has_no_fraction() {
    for (sent, kept) in [
        (json!(2.0), "2"),
        (json!(-0.0), "0"),
        (json!(1e3), "1000"),
        (json!(0.5), "0.5"),
        (json!(0.1 + 0.2), "0.3"),
        (json!(1e-12), "0"),
    ] {
        assert_eq!(a_number(&serde_json::from_value(sent).unwrap()).unwrap().to_string(), kept);
    }
}
