"""Request handling shared by all views: access, CSRF, limits, headers, forms, error pages, file answers."""
