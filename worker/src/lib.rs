
pub mod lead_list;
pub mod queue;
