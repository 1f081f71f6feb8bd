"""What the project is made of: licences, known vulnerabilities, bills of materials."""
