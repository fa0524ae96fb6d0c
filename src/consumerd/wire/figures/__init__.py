"""What boards hold beside what the loop looks at: counters, histograms, the consumer's own figures, the last tasks."""
