"""Who is answered, and what they may do: sessions and tokens, the names and pages that requests come by."""
