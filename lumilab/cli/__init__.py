"""The `lumi` command: one module per subcommand, each parsing, calling one function and printing."""
