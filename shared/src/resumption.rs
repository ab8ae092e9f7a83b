//! Whether a call whose stream has ended goes back to the voice agent, or on.
//!
//! The carrier's flow asks after every stream (Exotel: Passthru; Twilio: the verb behind `<Connect>`). Three know something. `media` writes why a stream ended before
//! it closes the socket, so that a row which has not ended was held by a process that died. The carrier saw how the socket went.
//! And the call says whether it is over, and how often it has come back already.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::call::{CallStatus, Carrier};
use crate::dial;
use crate::id::CallId;

/// Streams of one call after its first: somebody whose line drops more often has hung up, or should be called again.
pub const MAX_RESUMPTIONS: i32 = 5;
/// Times one call's flow is sent back, whether or not a stream came of it.
pub const MAX_SENT_BACK: i32 = 8;

/// `media` gave the call to another process.
pub const HANDED_OVER: &str = "handed_over";
/// The stream broke; `media` itself is well.
pub const STREAM_LOST: &str = "stream_lost";

/// Why a flow goes back that no stream has come of: whoever answers it does so after a pause.
pub const NEVER_BEGAN: &str = "never_began";

/// A stream that ended for such a reason broke off its conversation.
#[must_use]
pub fn breaks_off(end_reason: &str) -> bool {
    matches!(end_reason, HANDED_OVER | STREAM_LOST)
}

/// How a stream ended, as the carrier saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamEnd {
    CalleeLeft,
    /// In order: by the voice agent, or by the carrier's own limit.
    Closed,
    /// Without a goodbye.
    Broke,
    NeverOpened,
    /// It was tried, and is over. Twilio says no more; whoever hung up is not asked about at all.
    Over,
    #[default]
    Unsaid,
}

/// What the carrier says of the stream before its question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamReport {
    pub stream_sid: Option<String>,
    pub end: StreamEnd,
}

/// What the database knows of the call.
#[derive(Clone, Debug)]
pub struct Standing {
    pub call_id: CallId,
    /// It has a terminal status, or was withdrawn.
    pub over: bool,
    pub sent_back: i32,
    /// `None` if no stream of the call has ever begun.
    pub stream: Option<KnownStream>,
}

/// The call's latest stream.
#[derive(Clone, Debug)]
pub struct KnownStream {
    pub stream_sid: String,
    /// `None` until `media` has said it.
    pub end_reason: Option<String>,
    pub resumptions: i32,
    /// The call went back after it was last heard of: no stream has come of that.
    pub sent_back_since: bool,
    /// The call's maximum duration is used up.
    pub time_is_up: bool,
}

/// The way the flow takes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Back(&'static str),
    On(&'static str),
    /// `media` has not said why the stream ended. It does before it closes a socket: if nothing comes, it has died.
    NotYet,
}

/// Weighs all that is known.
#[must_use]
pub fn weigh(report: &StreamReport, standing: &Standing) -> Verdict {
    if report.end == StreamEnd::CalleeLeft {
        return Verdict::On("callee_left");
    }
    if standing.over {
        return Verdict::On("call_over");
    }
    let resumptions = standing.stream.as_ref().map_or(0, |stream| stream.resumptions);
    if standing.sent_back >= MAX_SENT_BACK || resumptions >= MAX_RESUMPTIONS {
        return Verdict::On("too_often");
    }
    let Some(stream) = &standing.stream else {
        return match report.end {
            StreamEnd::Unsaid => Verdict::On("no_stream"),
            _ => Verdict::Back(NEVER_BEGAN),
        };
    };
    if stream.time_is_up {
        return Verdict::On("time_is_up");
    }
    let reason = stream.end_reason.as_deref();
    if reason.is_some_and(|reason| !breaks_off(reason)) {
        return Verdict::On("conversation_over");
    }
    // It was refused before it took the call, as is one that another process of ours could not look up.
    let another = report.stream_sid.as_ref().is_some_and(|sid| *sid != stream.stream_sid);
    let unheeded = report.end == StreamEnd::Over && stream.sent_back_since;
    match (report.end, reason) {
        _ if unheeded => Verdict::Back(NEVER_BEGAN),
        (StreamEnd::NeverOpened, _) => Verdict::Back(NEVER_BEGAN),
        (StreamEnd::Closed, _) if another => Verdict::Back(NEVER_BEGAN),
        (_, Some(HANDED_OVER)) => Verdict::Back(HANDED_OVER),
        (_, Some(_)) => Verdict::Back(STREAM_LOST),
        (StreamEnd::Broke, None) => Verdict::Back("media_died"),
        (StreamEnd::Closed | StreamEnd::Over | StreamEnd::Unsaid | StreamEnd::CalleeLeft, None) => Verdict::NotYet,
    }
}

/// The verdict where the database cannot be asked in time. A stream that broke has a human at its end who has not hung up; who
/// comes back finds `media` asking the database again. One that was closed in order is over: a conversation that is handed over
/// without being able to say so breaks its socket. One that never opened is let go, for nobody could count how often. One of which
/// only that is known goes back, as if it broke: its carrier's question has a human behind it, and counts itself.
#[must_use]
pub fn weigh_alone(report: &StreamReport) -> Verdict {
    match report.end {
        StreamEnd::Broke | StreamEnd::Over => Verdict::Back("broke_unseen"),
        StreamEnd::CalleeLeft => Verdict::On("callee_left"),
        StreamEnd::Closed | StreamEnd::NeverOpened | StreamEnd::Unsaid => Verdict::On("unseen"),
    }
}

/// The call that a flow asks about: by our own name for it, else by the carrier's.
pub async fn standing(
    db: impl PgExecutor<'_>,
    carrier: Carrier,
    reference: Option<&str>,
    carrier_call_id: Option<&str>,
) -> sqlx::Result<Option<Standing>> {
    let row = sqlx::query!(
        r#"
        select c.id as "id: CallId", c.status as "status: CallStatus", c.withdrawn_at is not null as "withdrawn!", c.sent_back,
            s.stream_sid as "stream_sid?", s.end_reason, coalesce(s.resumptions, 0) as "resumptions!",
            coalesce(c.sent_back_at > s.heartbeat_at, false) as "sent_back_since!",
            coalesce(s.ends_by <= now(), false) as "time_is_up!"
        from calls c
        left join streams s on s.call_id = c.id
        where c.reference = $2 or (c.carrier = $1 and c.carrier_call_id = $3)
        order by (c.reference = $2) is true desc
        limit 1
        "#,
        carrier.as_str(),
        reference,
        carrier_call_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Standing {
        call_id: row.id,
        over: row.status.is_terminal() || row.withdrawn,
        sent_back: row.sent_back,
        stream: row.stream_sid.map(|stream_sid| KnownStream {
            stream_sid,
            end_reason: row.end_reason,
            resumptions: row.resumptions,
            sent_back_since: row.sent_back_since,
            time_is_up: row.time_is_up,
        }),
    }))
}

/// Counts that the flow goes back, and notes why. `false` if the call is over meanwhile, or has been sent back too often: two
/// questions at once cannot pass the bound together. Pass a connection inside a transaction.
pub async fn send_back(db: &mut PgConnection, id: CallId, because: &str, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let counted = sqlx::query_scalar!(
        r#"
        update calls set sent_back = sent_back + 1, sent_back_at = now()
        where id = $1 and sent_back < $2 and withdrawn_at is null and call_status_rank(status) < 5
        returning sent_back
        "#,
        id as CallId,
        MAX_SENT_BACK,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(times) = counted else { return Ok(false) };
    dial::note(db, id, "sent_back", serde_json::json!({ "because": because, "times": times }), now).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(end: StreamEnd) -> StreamReport {
        StreamReport { stream_sid: Some("s1".into()), end }
    }

    fn standing(end_reason: Option<&str>) -> Standing {
        let stream = KnownStream {
            stream_sid: "s1".into(),
            end_reason: end_reason.map(str::to_owned),
            resumptions: 0,
            sent_back_since: false,
            time_is_up: false,
        };
        Standing { call_id: CallId(1), over: false, sent_back: 0, stream: Some(stream) }
    }

    fn with(change: impl FnOnce(&mut Standing)) -> Standing {
        let mut standing = standing(None);
        change(&mut standing);
        standing
    }

    #[test]
    fn what_media_said_decides_before_what_the_carrier_saw() {
        use StreamEnd::{Broke, Closed, NeverOpened, Over, Unsaid};
        for end in [Broke, Closed, NeverOpened, Over, Unsaid] {
            for reason in [HANDED_OVER, STREAM_LOST] {
                let because = if end == NeverOpened { NEVER_BEGAN } else { reason };
                assert_eq!(weigh(&report(end), &standing(Some(reason))), Verdict::Back(because), "{end:?}");
            }
            for reason in ["agent_finished", "human_hung_up", "silence", "max_duration", "call_over"] {
                let verdict = weigh(&report(end), &standing(Some(reason)));
                assert_eq!(verdict, Verdict::On("conversation_over"), "{end:?} {reason}");
            }
        }
    }

    #[test]
    fn a_stream_that_nobody_ended_was_held_by_a_process_that_died() {
        assert_eq!(weigh(&report(StreamEnd::Broke), &standing(None)), Verdict::Back("media_died"));
        assert_eq!(weigh(&report(StreamEnd::Closed), &standing(None)), Verdict::NotYet);
        assert_eq!(weigh(&report(StreamEnd::Unsaid), &standing(None)), Verdict::NotYet);
        assert_eq!(weigh(&StreamReport { stream_sid: None, end: StreamEnd::Over }, &standing(None)), Verdict::NotYet);
    }

    #[test]
    fn a_stream_that_never_took_the_call_is_tried_again() {
        let refused = StreamReport { stream_sid: Some("s2".into()), end: StreamEnd::Closed };
        assert_eq!(weigh(&refused, &standing(None)), Verdict::Back(NEVER_BEGAN));
        assert_eq!(weigh(&report(StreamEnd::NeverOpened), &standing(None)), Verdict::Back(NEVER_BEGAN));
        let over = StreamReport { stream_sid: None, end: StreamEnd::Over };
        let unheeded = with(|standing| standing.stream.iter_mut().for_each(|stream| stream.sent_back_since = true));
        assert_eq!(weigh(&over, &unheeded), Verdict::Back(NEVER_BEGAN));
        let first = with(|standing| standing.stream = None);
        assert_eq!(weigh(&report(StreamEnd::NeverOpened), &first), Verdict::Back(NEVER_BEGAN));
        assert_eq!(weigh(&report(StreamEnd::Over), &first), Verdict::Back(NEVER_BEGAN));
        assert_eq!(weigh(&report(StreamEnd::Unsaid), &first), Verdict::On("no_stream"));
    }

    #[test]
    fn whoever_has_left_or_had_enough_is_not_called_back_to_the_agent() {
        let broke = report(StreamEnd::Broke);
        assert_eq!(weigh(&report(StreamEnd::CalleeLeft), &standing(Some(HANDED_OVER))), Verdict::On("callee_left"));
        assert_eq!(weigh(&broke, &with(|standing| standing.over = true)), Verdict::On("call_over"));
        let stream = |change: fn(&mut KnownStream)| with(|standing| standing.stream.iter_mut().for_each(change));
        assert_eq!(weigh(&broke, &stream(|stream| stream.time_is_up = true)), Verdict::On("time_is_up"));
        let often = stream(|stream| stream.resumptions = MAX_RESUMPTIONS);
        assert_eq!(weigh(&broke, &often), Verdict::On("too_often"));
        let often = with(|standing| standing.sent_back = MAX_SENT_BACK);
        assert_eq!(weigh(&broke, &often), Verdict::On("too_often"));
    }

    #[test]
    fn without_a_database_only_a_stream_that_may_have_broken_goes_back() {
        for end in [StreamEnd::Broke, StreamEnd::Over] {
            assert_eq!(weigh_alone(&report(end)), Verdict::Back("broke_unseen"));
        }
        for end in [StreamEnd::CalleeLeft, StreamEnd::Closed, StreamEnd::NeverOpened, StreamEnd::Unsaid] {
            assert!(matches!(weigh_alone(&report(end)), Verdict::On(_)), "{end:?}");
        }
    }
}
