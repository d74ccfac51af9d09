//! Queries on `proofs`.

use diesel::prelude::*;

use super::lock::Lock;
use super::schema::proofs;
use super::work::Work;
use crate::error::Result;
use crate::id::{AccountId, IdentityId, ProofId};
use crate::identity::Proof;

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
    Ok(())
}
