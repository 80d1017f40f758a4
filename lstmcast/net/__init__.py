"""The net wing: tensors in, a forecast distribution out. It knows no CSV, no pandas and no settings file."""
