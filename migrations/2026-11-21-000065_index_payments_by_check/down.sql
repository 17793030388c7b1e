DROP INDEX payments_check_at_index;
