DROP TABLE pickup_counters;
