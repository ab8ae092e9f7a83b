//! Lists come in pages: by cursor, or by the `page` and `page_size` of the published documents.

use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, FieldProblem};

const DEFAULT_SIZE: i64 = 50;
const MAX_SIZE: i64 = 200;
/// Numbered pages count everything before them; deeper ones are what cursors are for.
const MAX_PAGE: i64 = 10_000;

/// Where a page begins and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The id of the last row before it.
    pub cursor: Option<i64>,
    pub offset: i64,
    pub size: i64,
    /// The page's number, where pages are numbered.
    page: Option<i64>,
}

/// A page of a list, before it has a name; see [`list_of`].
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub place: Place,
}

/// Where a page is in its list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Place {
    /// What to pass as `cursor` for what follows; null at the end of the list.
    pub next_cursor: Option<String>,
    /// Only with numbered pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i64>,
}

/// The answer of a list: its rows under their own name, and the place of the page.
macro_rules! list_of {
    ($list:ident { $field:ident: $item:ty }) => {
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        pub struct $list {
            pub $field: Vec<$item>,
            #[serde(flatten)]
            pub place: $crate::page::Place,
        }

        impl From<$crate::page::Page<$item>> for $list {
            fn from(page: $crate::page::Page<$item>) -> Self {
                Self { $field: page.items, place: page.place }
            }
        }
    };
}
pub(crate) use list_of;

impl Window {
    /// # Errors
    /// Every parameter that is out of bounds, or both ways of paging at once.
    pub fn new(
        cursor: Option<&str>,
        limit: Option<i64>,
        page: Option<i64>,
        page_size: Option<i64>,
    ) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let mut refuse = |name: &str, detail: String| {
            errors.push(FieldProblem { pointer: format!("/{name}"), code: "out_of_range", detail });
        };
        let mut bounded = |name: &str, value: Option<i64>, default: i64, max: i64| {
            let value = value.unwrap_or(default);
            if !(1..=max).contains(&value) {
                refuse(name, format!("{name} must be between 1 and {max}"));
            }
            value
        };
        let numbered = page.is_some() || page_size.is_some();
        let size = if numbered {
            bounded("page_size", page_size, DEFAULT_SIZE, MAX_SIZE)
        } else {
            bounded("limit", limit, DEFAULT_SIZE, MAX_SIZE)
        };
        let number = bounded("page", page, 1, MAX_PAGE);
        let cursor = match cursor.filter(|cursor| !cursor.is_empty()) {
            None => None,
            Some(_) if numbered => {
                refuse("cursor", "use either cursor and limit, or page and page_size".into());
                None
            }
            Some(cursor) => match cursor.parse::<i64>() {
                Ok(id) if id >= 0 => Some(id),
                _ => {
                    refuse("cursor", "this cursor was not made here".into());
                    None
                }
            },
        };
        if !errors.is_empty() {
            return Err(ApiError::invalid(errors));
        }
        Ok(Self { cursor, offset: (number - 1) * size, size, page: numbered.then_some(number) })
    }

    /// How many rows to ask for: one more than the page has, to know whether anything follows.
    #[must_use]
    pub const fn probe(&self) -> i64 {
        self.size + 1
    }

    /// Whether the list has to be counted.
    #[must_use]
    pub const fn is_numbered(&self) -> bool {
        self.page.is_some()
    }

    /// Makes the page of the probed rows; `id` names a row to continue behind.
    pub fn page<R, T>(
        &self,
        mut rows: Vec<R>,
        total: Option<i64>,
        id: impl Fn(&R) -> i64,
        item: impl Fn(R) -> T,
    ) -> Page<T> {
        let size = usize::try_from(self.size).unwrap_or_default();
        let more = rows.len() > size;
        rows.truncate(size);
        let next_cursor = if more { rows.last().map(|row| id(row).to_string()) } else { None };
        Page {
            items: rows.into_iter().map(item).collect(),
            place: Place { next_cursor, total, page: self.page, page_size: self.page.map(|_| self.size) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_next_one_begins_and_the_last_does_not() {
        let window = Window::new(None, Some(2), None, None).unwrap();
        let page = window.page(vec![9, 8, 7], None, |row| *row, |row| row);
        assert_eq!((page.items, page.place.next_cursor.as_deref()), (vec![9, 8], Some("8")));
        let page = window.page(vec![9, 8], None, |row| *row, |row| row);
        assert_eq!((page.items, page.place.next_cursor), (vec![9, 8], None));
    }

    #[test]
    fn every_parameter_out_of_bounds_is_told() {
        let Err(ApiError::Refused { errors, .. }) = Window::new(None, None, Some(0), Some(500)) else {
            panic!("accepted")
        };
        assert_eq!(errors.iter().map(|e| e.pointer.as_str()).collect::<Vec<_>>(), ["/page_size", "/page"]);
        assert!(Window::new(Some("12"), None, Some(1), None).is_err());
        assert!(Window::new(Some("x"), None, None, None).is_err());
    }

    #[test]
    fn numbered_pages_begin_with_one() {
        let window = Window::new(None, None, Some(3), Some(20)).unwrap();
        assert_eq!((window.offset, window.size, window.is_numbered()), (40, 20, true));
    }
}
