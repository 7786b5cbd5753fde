"""Reports: tables and pictures made from run folders. Reads runs, imports no model."""
