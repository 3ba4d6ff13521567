"""What all tests share. Being here, it puts this folder on the path: `import tiny`."""
