"""Work behind an audit command or page: what-if, spot checks, benchmarks, reparsing."""
