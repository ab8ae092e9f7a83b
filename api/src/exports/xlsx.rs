//! The XLSX export. Rows go from the database to a temporary file, one page at a time, and from there to the reader.

use std::fs::File;

use anyhow::Context;
use rust_xlsxwriter::Workbook;
use shared::call_detail::ExportedCall;
use shared::id::{AccountId, CallId, CampaignId};
use tokio::sync::mpsc;

use super::{next_page, recording_url, table};
use crate::state::AppState;

/// What a cell can hold.
const MAX_CELL_CHARS: usize = 32_767;
/// What a sheet can hold, without its header.
const MAX_ROWS: u32 = 1_048_575;
/// Pages that wait for the writing thread.
const PAGES_AHEAD: usize = 2;

type Rows = Vec<[String; table::COLUMNS.len()]>;

/// Writes the whole file, and answers it ready to be read. It has no name, and is gone when it is closed.
pub async fn write(app: &AppState, account: AccountId, campaign: CampaignId) -> anyhow::Result<File> {
    let (pages, receiver) = mpsc::channel::<Rows>(PAGES_AHEAD);
    let writer = tokio::task::spawn_blocking(move || write_rows(receiver));
    let mut after = CallId(0);
    while let Some(page) = next_page(app, account, campaign, &mut after).await? {
        let rows = page.iter().map(|call: &ExportedCall| table::cells(call, recording_url(app, call))).collect();
        if pages.send(rows).await.is_err() {
            break;
        }
    }
    drop(pages);
    writer.await.context("the writing thread panicked")?
}

fn write_rows(mut pages: mpsc::Receiver<Rows>) -> anyhow::Result<File> {
    use std::io::Seek;
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet_with_constant_memory()?;
    sheet.set_name("Calls")?;
    for (column, name) in (0u16..).zip(table::COLUMNS) {
        sheet.write_string(0, column, name)?;
    }
    let mut row = 1;
    while let Some(page) = pages.blocking_recv() {
        for cells in page {
            anyhow::ensure!(row <= MAX_ROWS, "more calls than a sheet can hold; export CSV");
            for (column, cell) in (0u16..).zip(cells) {
                // Written as text, never as a formula.
                sheet.write_string(row, column, bounded(cell))?;
            }
            row += 1;
        }
    }
    let mut file = tempfile::tempfile().context("cannot make a temporary file")?;
    workbook.save_to_writer(&mut file)?;
    file.rewind()?;
    Ok(file)
}

fn bounded(cell: String) -> String {
    if cell.chars().count() <= MAX_CELL_CHARS {
        cell
    } else {
        cell.chars().take(MAX_CELL_CHARS - 1).chain(['…']).collect()
    }
}
