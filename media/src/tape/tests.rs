use std::path::Path;

use hound::WavReader;

use super::*;

const PIECE: Piece = Piece { account_id: AccountId(7), call_id: CallId(41), offset: Duration::from_millis(12_340) };
const MINUTE: Duration = Duration::from_secs(60);

fn samples(path: &Path) -> Vec<i16> {
    let mut wav = WavReader::open(path).expect("a WAV");
    assert_eq!((wav.spec().channels, wav.spec().sample_rate), (2, 8_000));
    wav.samples().collect::<Result<_, _>>().expect("whole samples")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}

#[tokio::test]
async fn a_finished_tape_has_both_sides_on_one_clock_and_says_whose_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let tapes = Tapes::start(dir.path().to_owned(), u64::MAX, MINUTE).unwrap();
    let began = ago(5);
    let (tape, mut finished) = tapes.begin(PIECE, began);
    tape.human(began + Duration::from_millis(1_100), Some(1_000), &[11; 800]);
    tape.agent(began + Duration::from_millis(2_000), &[22; 1_600]);
    tape.cut(began + Duration::from_millis(2_150));
    drop(tape);
    let spooled = finished.recv().await.unwrap();

    let sound = samples(&spooled.path);
    let ms_of = |side: usize, value: i16| -> Vec<usize> {
        let at = sound.iter().skip(side).step_by(2).enumerate().filter(|(_, sample)| **sample == value);
        let at: Vec<usize> = at.map(|(at, _)| at / 8).collect();
        vec![at[0], at[at.len() - 1] + 1]
    };
    assert_eq!((ms_of(0, 11), ms_of(1, 22)), (vec![1_000, 1_100], vec![2_000, 2_150]));
    assert!(spooled.duration_ms >= 5_000, "silence up to the end: {}", spooled.duration_ms);
    assert_eq!(spooled.piece, PIECE);

    // As long as it is being shipped nobody else may.
    let path = spooled.path.clone();
    assert!(Spooled::left_behind(path.clone()).unwrap().is_none());
    let (id, length) = (spooled.id, spooled.duration_ms);
    drop(spooled);
    let found = Spooled::left_behind(path).unwrap().expect("nobody has it");
    assert_eq!((found.piece, found.id, found.duration_ms), (PIECE, id, length));
}

#[tokio::test]
async fn a_tape_under_way_can_be_read_at_any_time() {
    let dir = tempfile::tempdir().unwrap();
    let tapes = Tapes::start(dir.path().to_owned(), u64::MAX, MINUTE).unwrap();
    let began = ago(5);
    let (tape, _finished) = tapes.begin(PIECE, began);
    for frame in 0..40 {
        tape.human(began + Duration::from_millis(frame * 100 + 100), Some(frame * 100), &[11; 800]);
    }
    let until = Instant::now() + Duration::from_secs(5);
    let seconds = loop {
        // Under its first name it is no tape yet, and loses that name at any moment.
        let tape = files(dir.path()).into_iter().find(|path| path.extension().is_some_and(|kind| kind == "wav"));
        let written = tape.map_or(0, |path| samples(&path).len() / 16_000);
        if written >= 3 || Instant::now() > until {
            break written;
        }
        tokio::task::yield_now().await;
    };
    assert!(seconds >= 3, "all but what is not final yet: {seconds}");
    assert!(Spooled::left_behind(files(dir.path()).remove(0)).unwrap().is_none(), "its process lives");
    drop(tape);
}

#[tokio::test]
async fn a_full_disk_costs_the_recording_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("7-40-0-01JD8S4V0Z0000000000000000.wav"), [0; 64]).unwrap();
    let tapes = Tapes::start(dir.path().to_owned(), 64, MINUTE).unwrap();
    let (tape, mut finished) = tapes.begin(PIECE, Instant::now());
    tape.human(Instant::now(), None, &[11; 800]);
    assert!(finished.recv().await.is_none(), "there is none");
    assert_eq!(files(dir.path()).len(), 1);
}

#[tokio::test]
async fn a_long_call_is_handed_on_piece_by_piece_while_it_goes_on_and_not_a_sample_is_lost_between_them() {
    let dir = tempfile::tempdir().unwrap();
    let tapes = Tapes::start(dir.path().to_owned(), u64::MAX, Duration::from_secs(5)).unwrap();
    let began = ago(18);
    let (tape, mut finished) = tapes.begin(PIECE, began);
    // Every sample of the human's is another one than the one before.
    let sample = |at: usize| 1 + (at % 30_000) as i16;
    // All at once: what is late by the clock counts as not heard.
    let all: Vec<i16> = (0..170 * 800).map(sample).collect();
    tape.human(began + Duration::from_secs(17), Some(0), &all);
    let mut pieces = Vec::new();
    for _ in 0..2 {
        // The call is still up.
        pieces.push(finished.recv().await.unwrap());
    }
    drop(tape);
    while let Some(piece) = finished.recv().await {
        pieces.push(piece);
    }
    let offsets: Vec<u128> = pieces.iter().map(|piece| piece.piece.offset.as_millis()).collect();
    assert_eq!(offsets, [12_340, 17_340, 22_340, 27_340]);
    assert!(pieces[..3].iter().all(|piece| piece.duration_ms == 5_000));
    let human: Vec<i16> = pieces.iter().flat_map(|piece| samples(&piece.path)).step_by(2).collect();
    let torn = (0..170 * 800).find(|&at| human[at] != sample(at));
    assert_eq!(torn, None);
    assert!(pieces.iter().all(|piece| Spooled::left_behind(piece.path.clone()).unwrap().is_none()), "they are taken");
}

#[tokio::test]
async fn a_disk_that_fills_up_during_a_call_keeps_what_was_recorded_until_then() {
    let dir = tempfile::tempdir().unwrap();
    let tapes = Tapes::start(dir.path().to_owned(), 100_000, Duration::from_secs(5)).unwrap();
    let began = ago(12);
    let (tape, mut finished) = tapes.begin(PIECE, began);
    tape.human(began + Duration::from_secs(11), Some(0), &[11; 110 * 800]);
    let kept = finished.recv().await.unwrap();
    assert_eq!((kept.duration_ms, samples(&kept.path).len()), (5_000, 80_000));
    drop(tape);
    assert!(finished.recv().await.is_none(), "and then no more");
}

fn ago(seconds: u64) -> Instant {
    Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap()
}
