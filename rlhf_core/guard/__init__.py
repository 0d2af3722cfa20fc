"""The guard against reward hacking: detectors, their thresholds, and the alarms of a training."""
