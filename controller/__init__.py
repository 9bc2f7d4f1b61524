"""The operator: ConfigTemplates in, validated configuration out, on the bus of the events package."""
