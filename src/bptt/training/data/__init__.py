"""What users bring as data, read and checked: tables, series, labelled sequences, text."""
