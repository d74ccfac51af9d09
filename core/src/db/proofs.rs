//! Queries on `proofs`.

use diesel::prelude::*;

use super::lock::Lock;
use super::schema::{identities, proofs};
use super::work::Work;
use crate::error::Result;
use crate::id::{AccountId, ChallengeId, FlowId, IdentityId, ProofId};
use crate::identity::{Proof, ProofMethod};

pub fn insert(work: &mut Work<'_>, identity: IdentityId, account: AccountId, proof: Proof) -> Result<()> {
    work.must_hold(Lock::Account(account))?;
    let (id, now) = (work.new_id::<ProofId>(), work.now());
    diesel::insert_into(proofs::table)
        .values((
            proofs::id.eq(id),
            proofs::identity_id.eq(identity),
            proofs::account_id.eq(account),
            proofs::method.eq(proof.method),
            proofs::challenge_id.eq(proof.challenge),
            proofs::flow_id.eq(proof.flow),
            proofs::proven_at.eq(now),
        ))
        .execute(work.conn)?;
    // the first proof is when it became its owner's
    diesel::update(identities::table.filter(identities::id.eq(identity).and(identities::owned_since.is_null())))
        .set(identities::owned_since.eq(now))
        .execute(work.conn)?;
    Ok(())
}

/// How each identity of an account was proven last.
pub fn list_last(work: &mut Work<'_>, account: AccountId) -> Result<Vec<(IdentityId, Proof)>> {
    let rows = proofs::table
        .filter(proofs::account_id.eq(account))
        .order((proofs::identity_id, proofs::id.desc()))
        .select((proofs::identity_id, proofs::method, proofs::challenge_id, proofs::flow_id))
        .load::<(IdentityId, ProofMethod, Option<ChallengeId>, Option<FlowId>)>(work.conn)?;
    let mut last: Vec<(IdentityId, Proof)> = Vec::new();
    for (identity, method, challenge, flow) in rows {
        if last.last().is_none_or(|(known, _)| *known != identity) {
            last.push((identity, Proof { method, challenge, flow }));
        }
    }
    Ok(last)
}
