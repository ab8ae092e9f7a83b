//! A short torture run; `bin/torture` is the long one.

use std::time::Duration;

use tests::torture::{Settings, run};

#[tokio::test(flavor = "multi_thread")]
async fn while_everything_breaks_nobody_is_called_twice_late_or_against_their_wish() {
    let settings = Settings { settling: Duration::from_secs(240), ..Settings::new(40, Duration::from_secs(30), 1) };
    let report = run(settings, |_line| {}).await;
    assert!(report.is_clean(), "{}", report.text());
}
