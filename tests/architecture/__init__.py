"""Rules of the house that the import linter cannot say."""
